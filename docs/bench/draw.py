#!/usr/bin/env python3
"""Draws the graphs and the table of docs/BENCHMARKS.md from calls.json. Needs nothing but Python: draw.py

Leaves SCENARIO.svg beside itself and prints the table.
"""
import json
import os
import statistics as st

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = json.load(open(f"{HERE}/calls.json"))
NAMES = {
    "clean": "clean", "rtt50": "50 ms round trip", "rtt100j20": "100 ms, jitter 20 ms", "loss1": "1 % lost", "loss5": "5 % lost",
    "loss10": "10 % lost", "loss20": "20 % lost", "burst5": "5 % lost in rows of 5", "cap1m": "1 Mbit/s", "cap500k": "500 kbit/s",
    "drop": "3 Mbit/s, 500 kbit/s from 12 to 22 s"}
COLOURS = {"ahoy": "#0b7a75", "chromium": "#c2571a"}
PANELS = [("mouth to ear, ms", 1), ("sent, kbit/s", 2), ("dropped by the link, %", 3)]
W, H, LEFT, GAP = 720, 120, 56, 34


def ticks(top):
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if top / s <= 4)
    return [n * step for n in range(int(top / step) + 1)]


def draw(scenario, peers):
    height = 30 + len(PANELS) * (H + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {height}" font-family="system-ui,sans-serif" font-size="12">',
           f'<title>{NAMES[scenario]}: Ahoy and Chromium over time</title>', f'<rect width="{W}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="18" font-weight="600">{NAMES[scenario]}</text>']
    x = W - 190
    for peer in peers:
        out.append(f'<path d="M{x} 14h18" stroke="{COLOURS[peer]}" stroke-width="3"/><text x="{x + 24}" y="18">{peer.capitalize()}</text>')
        x += 85
    end = max(row[0] for rows in peers.values() for row in rows)
    for n, (title, column) in enumerate(PANELS):
        y0 = 30 + GAP - 12 + n * (H + GAP)
        top = max([row[column] for rows in peers.values() for row in rows if row[column] is not None] + [1]) * 1.05
        px = lambda t: LEFT + t / end * (W - LEFT - 12)
        py = lambda v: y0 + H - v / top * H
        out.append(f'<text x="{LEFT}" y="{y0 - 5}" fill="#444">{title}</text>')
        for v in ticks(top):
            out.append(f'<path d="M{LEFT} {py(v):.1f}H{W - 12}" stroke="#ddd"/>'
                       f'<text x="{LEFT - 6}" y="{py(v) + 4:.1f}" text-anchor="end" fill="#666">{v}</text>')
        for peer, rows in peers.items():
            path, pen = "", "M"
            for row in rows:
                if row[column] is None:
                    pen = "M"
                    continue
                path += f"{pen}{px(row[0]):.1f} {py(row[column]):.1f}"
                pen = "L"
            out.append(f'<path d="{path}" fill="none" stroke="{COLOURS[peer]}" stroke-width="2"/>')
        if n == len(PANELS) - 1:
            for t in range(0, int(end) + 1, 5):
                out.append(f'<text x="{px(t):.1f}" y="{y0 + H + 15}" text-anchor="middle" fill="#666">{t} s</text>')
    out.append("</svg>")
    open(f"{HERE}/{scenario}.svg", "w").write("\n".join(out) + "\n")


def median(peer, scenario, key):
    values = [f[key] for f in DATA["figures"] if (f["peer"], f["scenario"]) == (peer, scenario) and key in f]
    return st.median(values) if values else None


def table():
    print("| link | calls | first sound, ms | mouth to ear, ms (95 %) | ratio | ViSQOL | PESQ | STOI | kbit/s | a core, % |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    show = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"
    for scenario, name in NAMES.items():
        for peer in ("ahoy", "chromium"):
            m = lambda key: median(peer, scenario, key)
            if m("m2e_ms") is None:
                continue
            calls = len({f["rep"] for f in DATA["figures"] if (f["peer"], f["scenario"]) == (peer, scenario)})
            other = median("chromium", scenario, "m2e_ms")
            ratio = show(m("m2e_ms") / other, 2) if peer == "ahoy" and other else ""
            print(f"| {name if peer == 'ahoy' else ''} {peer.capitalize()} | {calls} | {show(m('first_audio_ms'), 0)} "
                  f"| {show(m('m2e_ms'), 0)} ({show(m('m2e_p95_ms'), 0)}) | {ratio} | {show(m('visqol'), 2)} | {show(m('pesq'), 2)} "
                  f"| {show(m('stoi'), 2)} | {show(m('sent_kbps'), 0)} | {show(100 * m('cpu'), 0)} |")


for scenario, peers in DATA["courses"].items():
    draw(scenario, peers)
table()
