#!/usr/bin/env python3
"""A NAT with exactly the behaviour that is asked for (RFC 4787), between a TUN device and the kernel's routing.

    natbox.py DEVICE PUBLIC-IP MAPPING FILTERING SECONDS

MAPPING and FILTERING are nothing, address or port: what they depend on. SECONDS: a UDP mapping that nothing left by for
so long is gone. TCP is always mapped regardless of the endpoint, filtered by address and port, and never forgotten.
SIGUSR1 forgets every mapping at once. What is read with the public address as its destination comes from outside.
"""
import fcntl
import os
import signal
import struct
import sys
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
        self.next = 20000

    def live(self, protocol, now):
        if protocol == UDP:
            self.mappings[UDP] = [m for m in self.mappings[UDP] if now - m.used < self.seconds]
        return self.mappings[protocol]

    def out(self, protocol, inside, to, now):
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


def main():
    device, public, mapping, filtering, seconds = sys.argv[1:6]
    box = Box(bytes(map(int, public.split("."))), mapping, filtering, float(seconds))

    def forget(*_):
        box.mappings = {UDP: [], TCP: []}

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
