"""Sample projects, written with the SDK of the Runicorn release that runs this file."""
import json, math, os, struct, time, zlib

import runicorn as rn

OLD = hasattr(rn, "Artifact")  # 0.5: project and name, artifacts


def png(shade):
    rows = b"".join(b"\0" + bytes([shade, 255 - shade, x * 8]) * 8 for x in range(8))
    chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def start(project, name, **kw):
    time.sleep(1.1)  # ids and orders stay different by the second
    if OLD:
        kw.pop("alias", None)
        return rn.init(project=project, name=name, **kw)
    return rn.init(path=f"{project}/{name}", **kw)


def write(name, text):
    path = os.path.join(os.getcwd(), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def resnet(alias, epochs, rate):
    r = start("vision", "resnet", alias=alias)
    r.set_primary_metric("val/accuracy", mode="max")
    for s in range(1, epochs + 1):
        row = {"train/loss": 2.3 * math.exp(-rate * s) + 0.05, "lr": 0.1 * 0.97 ** s, "images": 128 * s}
        if s % 5 == 0:
            row["val/accuracy"] = 1 - math.exp(-rate * s)
        r.log(row, step=s, stage="warmup" if s <= 5 else "train")
        if s % 10 == 0:
            r.log_text(f"step {s}: loss {row['train/loss']:.4f}")
    return r


def vision():
    r = resnet("baseline", 60, 0.08)
    r.log_image("samples", png(40), step=10, caption="augmented")
    r.log_image("samples", png(200), step=60, caption="augmented")
    r.summary({"final_accuracy": 0.9918, "params": 25557032, "notes": "first run", "worst": float("nan"),
               "layers": [3, 4, 6, 3], "deterministic": True})
    if OLD:
        for n in (1, 2, 3):
            a = rn.Artifact("resnet-model", type="model", description=f"checkpoint {n}")
            a.add_file(write("ckpt/weights.bin", bytes([n]) * 512 * n))
            a.add_file(write("ckpt/config.json", json.dumps({"depth": 50, "epoch": n * 20})))
            a.add_metadata({"accuracy": 0.8 + n / 20, "epoch": n * 20})
            a.add_tags("vision", f"epoch-{n * 20}")
            r.log_artifact(a)
    else:
        write("set/a.txt", "a,b\n1,2\n")
        write("set/b.txt", "hello\n")
        r.log_config(args={"lr": 0.1, "epochs": 60}, extra={"seed": 7})
        r.log_dataset("cifar-mini", os.path.join(os.getcwd(), "set"), save=True, description="two small files")
        r.log_dataset("imagenet", "s3://bucket/imagenet", context="val")
        r.log_pretrained("resnet50", path_or_uri="hf://timm/resnet50", source_type="huggingface")
    r.finish()
    second = r.id
    r = resnet("no-decay", 40, 0.05)
    if OLD:
        r.use_artifact("resnet-model:v2")
        d = rn.Artifact("cifar-mini", type="dataset")
        d.add_file(write("set/a.txt", "a,b\n1,2\n"))
        d.add_reference("s3://bucket/cifar", checksum="d41d8cd9", size=4096)
        r.log_artifact(d)
    r.log_text("CUDA out of memory")
    r.finish("failed")
    return second, r.id


def bert():
    r = start("nlp", "bert", alias="odd values", capture_env=True)
    r.set_primary_metric("loss", mode="min")
    for s in range(1, 31):
        row = {"loss": 4 / s, "tokens/sec": 1000 + s, "точность": s / 30, "学習率": 1e-3 / s, "a b.c": s}
        if s in (7, 8):
            row["loss"] = float("nan")
        if s == 9:
            row["loss"], row["grad/norm"] = float("inf"), float("-inf")
        if s % 6 == 0:
            row.update({"grad/norm": s * 1.5, "converged": s > 20, "note": f"check {s}", "big": 2 ** 60 + s})
        r.log(row, step=s, stage=("pre", "main", "cool")[s // 11])
    r.log({"loss": 0.25, "late": 1}, step=12)  # rewrites an old step
    r.log({"early": -1.5}, step=-3)
    r.log_text("línea con acentos\nsecond line of one call")
    r.summary({"perplexity": 17.25, "best": float("inf")})
    r.finish()
    return r.id


def ppo():
    r = start("rl", "ppo")
    for s in range(0, 7500, 50):
        r.log({"reward": math.sin(s / 400) * 100 + s % 7, "episode": s // 10}, step=s)
    r.finish("interrupted")
    e = start("rl", "ppo", alias="empty")
    e.finish()
    return r.id, e.id


def make():
    """Writes five runs and returns their ids."""
    return [*vision(), bert(), *ppo()]
