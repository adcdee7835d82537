"""How a bare Python image becomes a worker: the text that a pod's `python3 -c` runs, before anything of Fairway is there.

It fetches the runtime (one zip, named by its SHA-256) from the server, checks it, unpacks it below FAIRWAY_HOME, and hands over to
`fairway.step`. An image that brings the runtime along (below FAIRWAY_RUNTIMES) fetches nothing.
"""

from __future__ import annotations

BOOT = r"""import sys
def fail(text, *of): sys.exit("fairway: " + text % of)
if sys.version_info < (3, 11): fail("this image has Python %d.%d; steps need 3.11 or newer", *sys.version_info[:2])
import hashlib, http.client, io, os, random, signal, time, zipfile
from urllib.parse import urlsplit
signal.signal(15, lambda *_: sys.exit(143))
env = os.environ
want, home, url = env["FAIRWAY_RUNTIME"], env.get("FAIRWAY_HOME", "/fairway"), env["FAIRWAY_URL"].rstrip("/")
root = env.get("FAIRWAY_RUNTIMES", "/opt/fairway/runtime") + "/" + want
if not os.path.isdir(root): root = home + "/runtime/" + want
end = time.monotonic() + float(env.get("FAIRWAY_PATIENCE_S", "600"))
def fetch():
    at, wait = urlsplit(url), 0.1
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    while True:
        code = 0
        try:
            link = kind(at.netloc, timeout=30)
            link.request("GET", at.path + "/worker/v1/runtime.zip", headers={"Fairway-Token": env["FAIRWAY_TOKEN"]})
            answer = link.getresponse(); data = answer.read(); link.close()
            got, code = hashlib.sha256(data).hexdigest(), answer.status
            if code == 200 and got == want: return data
            why = "it answers %d" % code if code != 200 else "its runtime is %s, not %s" % (got[:12], want[:12])
        except (OSError, http.client.HTTPException) as e: why = str(e) or type(e).__name__
        if code in (401, 403) or time.monotonic() > end: fail("no runtime from %s: %s", url, why)
        time.sleep(wait * random.random()); wait = min(wait * 2, 5)
if not os.path.isdir(root):
    data, part = fetch(), root + ".%d" % os.getpid()
    try:
        zipfile.ZipFile(io.BytesIO(data)).extractall(part)
        os.rename(part, root)
    except OSError as e:
        if not os.path.isdir(root): fail("cannot unpack the runtime below %s: %s", home, e)
sys.path[0] = root
env["PYTHONPATH"] = ":".join(filter(None, (root, env.get("PYTHONPATH"))))
from fairway.step.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
