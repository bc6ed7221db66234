"""Makes src/bindings.rs: what the crates `alsa` and `cpal` use of ALSA, each function looked up when it is first called.

    python3 generate.py ALSA_SYS_SOURCE USER_SOURCE...

ALSA_SYS_SOURCE: src/generated.rs of the published alsa-sys 0.4.0 (MIT, David Henningsson), from which types, constants and
signatures are taken unchanged. USER_SOURCE: folders whose Rust files say what is used. Run again when a version changes.
"""
import os
import re
import sys

source, users = sys.argv[1], sys.argv[2:]
text = open(source).read()

# Top-level items with their attributes: an item ends where its brackets do.
items, lines, i = [], text.split("\n"), 0
while i < len(lines):
    start, depth, begun = i, 0, False
    while i < len(lines):
        line = lines[i]
        depth += sum(line.count(c) for c in "{([") - sum(line.count(c) for c in "})]")
        i += 1
        if line.startswith("#[") and depth == 0:
            continue
        if depth == 0 and (line.endswith(";") or line.endswith("}") or not line.strip()):
            break
    item = "\n".join(lines[start:i])
    if item.strip():
        items.append(item)

functions, others = {}, []
for item in items:
    if 'unsafe extern "C" {' in item:
        found = re.search(r"pub fn (\w+)\s*\((.*)\)\s*(?:->\s*([^;]+))?;", item, re.S)
        if found:
            functions[found[1]] = (found[2], (found[3] or "()").strip())
    else:
        name = re.search(r"^\s*(?:pub )?(?:struct|union|enum|type|const|mod)\s+(\w+)", item, re.M)
        name = name or re.search(r"^pub use self::\w+\s+as\s+(\w+);", item, re.M)
        subject = re.search(r"^impl(?:<.*?>)?\s+(?:[\w:<>]+\s+for\s+)?(?:[\w:]*::)?(\w+)", item, re.M)
        others.append((name[1] if name else None, subject[1] if subject else None, item))

wanted = set()
for folder in users:
    for root, _, files in os.walk(folder):
        for file in files:
            if file.endswith(".rs"):
                wanted |= set(re.findall(r"\b\w+\b", open(os.path.join(root, file)).read()))
used = {name for name in wanted if name in functions or any(name == n for n, _, _ in others)}
used = {name for name in used if name.startswith(("snd_", "SND_", "_snd_"))}
while True:
    more = set()
    for name in used & functions.keys():
        more |= set(re.findall(r"\w+", " ".join(functions[name])))
    for name, subject, item in others:
        if name in used or (subject in used and name is None):
            more |= set(re.findall(r"\w+", item))
    more = {m for m in more if any(m == n for n, _, _ in others)} - used
    if not more:
        break
    used |= more

out = ["// Made by generate.py from alsa-sys 0.4.0 (MIT, David Henningsson): do not edit.\n"]
for name, subject, item in others:
    if name in used or (name is None and subject in used):
        out.append(item)
out.append("\nfunctions! {")
for name in sorted(used & functions.keys()):
    arguments, result = functions[name]
    if "..." in arguments.split("fn(")[0] and "fn(" not in arguments:
        continue
    arguments = re.sub(r"\s+", " ", arguments).strip().rstrip(",")
    # A type parameter list inside an argument (callbacks) keeps its commas together.
    result = re.sub(r"\s+", " ", result)
    out.append(f"    fn {name}({arguments}) -> {result};")
out.append("}\n")
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "src", "bindings.rs"), "w").write("\n".join(out))
print(len(used & functions.keys()), "functions,", len(used - functions.keys()), "types and constants")
