"""What a step is given beside its inputs: secrets, config maps, claims."""

import hashlib
import os

import fairway as fw


@fw.step(cpu=0.05)
def use(token: str) -> str:
    print(f"the token is {token}")
    return hashlib.sha256(token.encode()).hexdigest()


@fw.pipeline
def secretly():
    return use(fw.secret("API_TOKEN"))


@fw.pipeline
def without():
    return use(fw.secret("NOWHERE"))


PLACE = fw.place(
    volumes=[
        fw.volume("/etc/words", config_map="words"),
        fw.volume("/etc/keys", secret="keys"),
        fw.volume("/data", claim="data"),
        fw.volume("/scratch", size="16Mi", memory=True),
    ],
    variables_from=["config:words"],
    labels={"team": "tests"},
    annotations={"example.org/why": "to be seen"},
    writable_root=True,
    patch={"spec": {"hostname": "patched"}},
)


@fw.step(cpu=0.05, place=PLACE, shared_memory="32Mi")
def look() -> dict[str, str]:
    with open("/data/kept", "w") as file:
        file.write("kept")
    with open("/scratch/file", "w") as file:
        file.write("x")
    seen = {path: open(path).read() for path in ("/etc/words/GREETING", "/etc/keys/key", "/data/kept")}
    shared = os.statvfs("/dev/shm")
    return seen | {
        "variable": os.environ["GREETING"],
        "host": os.uname().nodename,
        "user": str(os.getuid()),
        "home": os.environ["HOME"],
        "name": os.environ["USER"],
        "shared": str(shared.f_blocks * shared.f_frsize >> 20),
    }


@fw.pipeline
def mounted():
    return look()
