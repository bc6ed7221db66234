#!/usr/bin/env python3
"""A NAT with exactly the behaviour that is asked for (RFC 4787), between a TUN device and the kernel's routing.

    natbox.py DEVICE PUBLIC-IP MAPPING FILTERING SECONDS [nat-pmp]

MAPPING and FILTERING are nothing, address or port: what they depend on. SECONDS: a UDP mapping that nothing left by for
so long is gone. TCP is always mapped regardless of the endpoint, filtered by address and port, and never forgotten.
With nat-pmp it maps ports for those inside who ask (RFC 6886).
SIGUSR1 forgets every mapping at once. What is read with the public address as its destination comes from outside.
"""
import fcntl
import os
import signal
import socket
import struct
import sys
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
UDP, TCP = 17, 6


def add(sum_, data):
    """The ones' complement sum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    return sum_ + sum(struct.unpack(f"!{len(data) // 2}H", data))


def fold(sum_):
    while sum_ >> 16:
        sum_ = (sum_ & 0xFFFF) + (sum_ >> 16)
    return ~sum_ & 0xFFFF


def rewrite(packet, at, address, port):
    """Writes an address (at: 12 source, 16 destination) and its port, and mends both checksums."""
    head = (packet[0] & 15) * 4
    protocol = packet[9]
    packet[at : at + 4] = address
    place = head if at == 12 else head + 2
    packet[place : place + 2] = port.to_bytes(2, "big")
    packet[10:12] = b"\0\0"
    packet[10:12] = fold(add(0, bytes(packet[:head]))).to_bytes(2, "big")
    check = head + (6 if protocol == UDP else 16)
    packet[check : check + 2] = b"\0\0"
    body = bytes(packet[head:])
    pseudo = bytes(packet[12:20]) + bytes([0, protocol]) + len(body).to_bytes(2, "big")
    packet[check : check + 2] = (fold(add(add(0, pseudo), body)) or 0xFFFF).to_bytes(2, "big")


def shares(depends, one, other):
    return depends == "nothing" or (one[0] == other[0] if depends == "address" else one == other)


class Mapping:
    def __init__(self, inside, towards, outside, now):
        self.inside, self.towards, self.outside, self.used = inside, towards, outside, now
        self.allowed = {towards}


class Box:
    def __init__(self, public, mapping, filtering, seconds):
        self.public, self.mapping, self.filtering, self.seconds = public, mapping, filtering, seconds
        self.mappings = {UDP: [], TCP: []}
        # What was asked for by NAT-PMP: outside port by inside end, until when.
        self.granted = {UDP: {}, TCP: {}}
        self.next = 20000

    def live(self, protocol, now):
        if protocol == UDP:
            self.mappings[UDP] = [m for m in self.mappings[UDP] if now - m.used < self.seconds]
        return self.mappings[protocol]

    def grant(self, protocol, inside, port, seconds):
        """The outside port that inside has from now on; none for no seconds."""
        granted = self.granted[protocol]
        if seconds == 0:
            granted.pop(inside, None)
            return 0
        taken = {outside for other, (outside, _) in granted.items() if other != inside}
        outside = granted.get(inside, (port or inside[1], 0))[0]
        while outside in taken:
            outside += 1
        granted[inside] = (outside, time.monotonic() + seconds)
        return outside

    def out(self, protocol, inside, to, now):
        outside, until = self.granted[protocol].get(inside, (0, 0))
        if now < until:
            return outside
        depends = self.mapping if protocol == UDP else "nothing"
        for mapping in self.live(protocol, now):
            if mapping.inside == inside and shares(depends, mapping.towards, to):
                mapping.used = now
                mapping.allowed.add(to)
                return mapping.outside
        # Not in a row, so that nobody can guess it.
        self.next = 20000 + (self.next * 7 + 13) % 40000
        self.mappings[protocol].append(Mapping(inside, to, self.next, now))
        return self.next

    def back(self, protocol, origin, outside, now):
        for inside, (port, until) in list(self.granted[protocol].items()):
            if port == outside and now < until:
                return inside
        depends = self.filtering if protocol == UDP else "port"
        for mapping in self.live(protocol, now):
            if mapping.outside == outside:
                return mapping.inside if any(shares(depends, a, origin) for a in mapping.allowed) else None
        return None

    def translate(self, packet):
        """The packet as it goes on, or None."""
        if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] not in (UDP, TCP):
            return None
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None  # Fragments: nothing here sends any.
        head, protocol, now = (packet[0] & 15) * 4, packet[9], time.monotonic()
        source = (bytes(packet[12:16]), int.from_bytes(packet[head : head + 2], "big"))
        target = (bytes(packet[16:20]), int.from_bytes(packet[head + 2 : head + 4], "big"))
        if target[0] == self.public:
            inside = self.back(protocol, source, target[1], now)
            if inside is None:
                return None
            rewrite(packet, 16, *inside)
        else:
            rewrite(packet, 12, self.public, self.out(protocol, source, target, now))
        return packet


def serve_nat_pmp(box):
    """Answers RFC 6886, 3.2 and 3.3; other versions as 3.5 says."""
    server, began = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic()
    server.bind(("0.0.0.0", 5351))

    def run():
        while True:
            ask, client = server.recvfrom(64)
            epoch = int(time.monotonic() - began)
            if len(ask) >= 2 and ask[0] != 0:
                answer = struct.pack("!BBHI", 0, 128 | ask[1], 1, epoch)
            elif ask == b"\0\0":
                answer = struct.pack("!BBHI4s", 0, 128, 0, epoch, box.public)
            elif len(ask) == 12 and ask[1] in (1, 2):
                inside, wanted, seconds = struct.unpack("!HHI", ask[4:])
                end = (socket.inet_aton(client[0]), inside)
                outside = box.grant(UDP if ask[1] == 1 else TCP, end, wanted, seconds)
                answer = struct.pack("!BBHIHHI", 0, 128 | ask[1], 0, epoch, inside, outside, seconds)
            else:
                continue
            server.sendto(answer, client)

    threading.Thread(target=run, daemon=True).start()


def main():
    device, public, mapping, filtering, seconds = sys.argv[1:6]
    box = Box(bytes(map(int, public.split("."))), mapping, filtering, float(seconds))

    def forget(*_):
        box.mappings = {UDP: [], TCP: []}

    if "nat-pmp" in sys.argv[6:]:
        serve_nat_pmp(box)
    signal.signal(signal.SIGUSR1, forget)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22s", device.encode(), IFF_TUN | IFF_NO_PI, b""))
    print("ready", flush=True)
    while True:
        packet = box.translate(bytearray(os.read(tun, 65536)))
        if packet is not None:
            try:
                os.write(tun, packet)
            except OSError:
                pass  # No route back any more: lost, as anywhere.


if __name__ == "__main__":
    main()
