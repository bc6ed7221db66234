#!/usr/bin/env python3
"""Makes calls.json, the kept figures and courses, from the run folders of the bench: collect.py BENCH MEDIA RUNS...

Figures are those of the bench's own analyze.py (result.json of each run). Courses, each half second of the first run of a scenario,
for what b hears of a: delay from mouth to ear (ms), what a hands to its link (kbit/s), what the link drops (percent of packets).
"""
import glob
import json
import os
import sys

import numpy as np

bench, media, *folders = sys.argv[1:]
sys.path.insert(0, bench)
import analyze  # noqa: E402

FIGURES = ("first_audio_ms", "m2e_ms", "m2e_p95_ms", "visqol", "pesq", "stoi", "sent_kbps", "cpu", "pss_mib", "rss_mib")


def course(folder, meta):
    mic, spk = analyze.Stream(folder, "a", "mic", media), analyze.Stream(folder, "b", "spk", media)
    rows = [json.loads(line) for line in open(f"{folder}/net.jsonl")]
    wall = np.array([r["wall"] * 1000 for r in rows])
    up = [r["hosts"]["a"]["up"] for r in rows]
    at = lambda key, t: np.interp(t, wall, [u[key] for u in up])
    drops = lambda t: at("lost", t) + at("queue_drops", t)
    out = []
    zero = meta["t_media"]
    for t in np.arange(zero + 1000, meta["t_to"] - 1000, 500):
        found = analyze.match(mic, spk, t)
        delay = round(found[0], 1) if found and found[1] > 0.5 else None
        packets = at("in_pkts", t + 1000) - at("in_pkts", t)
        rate = (at("in_bytes", t + 1000) - at("in_bytes", t)) * 8 / 1000
        out.append([round((t - zero) / 1000, 1), delay, round(rate), round(100 * (drops(t + 1000) - drops(t)) / max(packets, 1), 1)])
    return out


figures, courses = [], {}
for folder in sorted(f for runs in folders for f in glob.glob(f"{runs}/*/")):
    meta = json.load(open(f"{folder}/meta.json")) if os.path.exists(f"{folder}/meta.json") else {}
    if not meta.get("ok"):
        continue
    result = json.load(open(f"{folder}/result.json"))
    for d in result["dirs"]:
        figures.append({"peer": meta["peer"], "scenario": meta["scenario"], "rep": meta["rep"], "ear": d["side"],
                        "load": round(meta["load_before"], 1), **{k: round(d[k], 3) for k in FIGURES if d.get(k) is not None}})
    courses.setdefault(meta["scenario"], {}).setdefault(meta["peer"], None)
    if courses[meta["scenario"]][meta["peer"]] is None:
        courses[meta["scenario"]][meta["peer"]] = course(folder.rstrip("/"), meta)
lines = ",\n".join(json.dumps(f) for f in figures)
rows = ",\n".join(f"{json.dumps(s)}: {{\n" + ",\n".join(f"  {json.dumps(p)}: {json.dumps(c)}" for p, c in peers.items()) + "}"
                  for s, peers in courses.items())
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "calls.json"), "w").write(
    f'{{"figures": [\n{lines}\n],\n"courses": {{\n{rows}\n}}}}\n')
