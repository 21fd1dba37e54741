"""How tests/golden/text stores texts and token ids."""

import json


def fnv1a(ids):
    """64-bit FNV-1a over the ids as little-endian int32."""
    value = 0xcbf29ce484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def digest(ids):
    return ids if len(ids) <= 200 else {"count": len(ids), "fnv1a": f"{fnv1a(ids):016x}"}


def expand(text):
    return text if isinstance(text, str) else text[0] * text[1]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def summary(lists):
    """Count and hash of all ids, each list closed by 2**31 - 1."""
    ids = [i for one in lists for i in one + [2**31 - 1]]
    return {"count": len(ids), "fnv1a": f"{fnv1a(ids):016x}"}
