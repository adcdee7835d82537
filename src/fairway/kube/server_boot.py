"""How a bare Python image becomes the server: the text that its pod's `python3 -c` runs, before anything of Fairway is there.

The server's code lies on the volume, one folder for each release, Python and platform, so that a restart needs nobody. Where it is not
there yet, it is waited for on the API's port: `fairway up` asks what this is (`GET /boot`), and sends what fits (`PUT /boot`, a
zip, with its SHA-256 in a header). Both need a user's token. What was sent is unpacked beside its place and moved there whole.
"""

from __future__ import annotations

BOOT = r"""import sys
V = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11): sys.exit("fairway: this image has Python " + V + "; the server needs 3.11 or newer")
import hashlib, hmac, json, os, platform, shutil, signal, sysconfig, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
env = os.environ
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container has no other way to end
soabi = sysconfig.get_config_var("SOABI") or ""
try: libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (ValueError, OSError): libc = ""
if not libc and "musl" in soabi: libc = "musl 1.2"
me = {"release": env["FAIRWAY_RELEASE"], "python": V, "machine": platform.machine(), "libc": libc}
top = env["FAIRWAY_HOME"] + "/server"
name = "-".join([me["release"], "cp" + V, me["machine"], libc.split(" ")[0] or "libc"])
root, part = top + "/" + name, top + "/." + name
class Boot(BaseHTTPRequestHandler):
    protocol_version, timeout = "HTTP/1.1", 60
    def log_message(self, *_): pass
    def say(self, status, data):
        body = json.dumps(data).encode()
        self.send_response(status)
        about = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        for key in about: self.send_header(key, about[key])
        self.end_headers(); self.wfile.write(body); self.close_connection = True
    def known(self):
        token = self.headers.get("Fairway-Token", "")
        user = token.split(".")[1] if token.count(".") > 1 else ""
        try:
            if os.path.basename(user) != user: return False
            with open(env["FAIRWAY_SECRETS"] + "/token." + user) as file: digest = file.read().strip()
        except OSError: return False
        return hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), digest)
    def do_GET(self):
        if self.path == "/livez": return self.say(200, {})
        if self.path != "/boot": return self.say(503, {"detail": "the server's code is not here yet: fairway up brings it"})
        self.say(200, me) if self.known() else self.say(401, {"detail": "no valid token"})
    def do_PUT(self):
        left, digest, file = int(self.headers.get("Content-Length") or 0), hashlib.sha256(), part + ".zip"
        if self.path != "/boot" or not self.known(): return self.say(401, {"detail": "no valid token"})
        try:
            shutil.rmtree(part, ignore_errors=True)
            with open(file, "wb") as out:
                while left:
                    piece = self.rfile.read(min(left, 1 << 20))
                    if not piece: return
                    left -= len(piece); digest.update(piece); out.write(piece)
            if digest.hexdigest() != self.headers.get("Fairway-Sha256"): return self.say(400, {"detail": "what came is not what was sent"})
            zipfile.ZipFile(file).extractall(part)
            os.rename(part, root)
            os.unlink(file)
            for other in os.listdir(top):
                if other != name: shutil.rmtree(top + "/" + other, ignore_errors=True)
        except (OSError, zipfile.BadZipFile) as error: return self.say(507, {"detail": str(error)})
        self.say(201, me)
        self.server.arrived = True
class Server(ThreadingHTTPServer):
    arrived, daemon_threads, address_family = False, True, 10 if ":" in env.get("POD_IP", "") else 2
if not os.path.isdir(root):
    os.makedirs(top, exist_ok=True)
    print("fairway: waiting for the server's code; `fairway up` brings it", flush=True)
    host = env["FAIRWAY_HOST"]
    with Server(("::" if host == "0.0.0.0" and Server.address_family == 10 else host, int(env["FAIRWAY_PORT"])), Boot) as server:
        server.timeout = 0.2
        while not server.arrived: server.handle_request()
env["PYTHONPATH"] = root
os.execv(sys.executable, [sys.executable, "-m", "fairway.web"])
"""
