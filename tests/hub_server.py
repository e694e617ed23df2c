"""A small server that speaks the Hub's protocol as ``huggingface_hub`` calls it, for tests; standard library and YAML.

Models alone, over LFS (``transfer: basic``). Repositories, branches, tags, commits, files with ETag and Range, and
faults on request: ``POST /_faults`` with ``{"method", "path", "status", "headers", "cut", "times", "skip"}`` makes the
next requests whose path matches fail. ``GET /_log`` tells what was asked. Nothing but blobs is on the disk.

Run as ``python hub_server.py FOLDER``: it prints its address and serves until it is killed.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_test"
USER = "anna"
_ID = r"(?P<id>[\w.-]+/[\w.-]+)"
_REPO_ID = re.compile(r"^(?:[\w-]+/)?[\w.-]+$")
_DATE = "2026-01-01T00:00:00.000Z"
_TAGS = ("text-classification", "token-classification", "text-ranking", "sentence-similarity", "feature-extraction")
_LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "bsd-3-clause", "gpl-3.0", "other", "unknown")


class Failure(Exception):  # noqa: N818  # an answer, not a mistake
    """What the Hub answers in place of a result."""

    def __init__(self, status, message, code=None, **body):
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **body}


class Hub:
    """Repositories in memory, blobs in a folder."""

    def __init__(self, folder):
        self.blobs = Path(folder)
        self.repos, self.faults, self.log = {}, [], []
        self.lock = threading.RLock()

    def write(self, content):
        """Store a blob under its SHA-256."""
        name = hashlib.sha256(content).hexdigest()
        temporary = self.blobs / f"{name}.{threading.get_ident()}"
        temporary.write_bytes(content)
        temporary.replace(self.blobs / name)
        return name

    def repo(self, name, is_known):
        """Return a repository that the caller may see."""
        repo = self.repos.get(name)
        if repo is None or (repo["private"] and not is_known):
            raise Failure(404 if is_known else 401, "Repository not found", "RepoNotFound")
        return repo

    def commit(self, repo, revision):
        """Return a commit's id and files: of a branch, a tag, or an id."""
        refs = {**repo["tags"], **repo["branches"]}
        sha = refs.get(revision, revision)
        if sha not in repo["commits"]:
            raise Failure(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, repo["commits"][sha]

    def add_commit(self, repo, branch, files):
        """Store a commit and move the branch to it."""
        text = json.dumps([sorted(files.items()), len(repo["commits"])])
        sha = hashlib.sha1(text.encode()).hexdigest()
        repo["commits"][sha] = files
        repo["branches"][branch] = sha
        return sha


def check_metadata(content):
    """Return errors and warnings of a card's metadata, as the Hub finds them."""
    match = re.match(r"^\s*---[\r\n]+([\s\S]*?)[\r\n]+---([\r\n]|$)", content)
    if match is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        values = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"], []
    if not isinstance(values, dict):
        return ["metadata must be a mapping"], []
    errors, warnings = [], []
    texts = ("license", "library_name", "pipeline_tag")
    errors += [f'"{key}" must be a string' for key in texts if not isinstance(values.get(key, ""), str)]
    if isinstance(values.get("license"), str) and values["license"] not in _LICENSES:
        errors.append(f'"license" must be one of {", ".join(_LICENSES)}')
    if "pipeline_tag" in values and values["pipeline_tag"] not in _TAGS:
        warnings.append(f'"pipeline_tag" {values["pipeline_tag"]!r} is not in the official list')
    for key in ("base_model", "datasets", "tags", "metrics", "language"):
        found = values.get(key, [])
        for item in [found] if isinstance(found, str) else found if isinstance(found, list) else [None]:
            if not isinstance(item, str):
                errors.append(f'"{key}" must be a string or a list of strings')
            elif key in ("base_model", "datasets") and not _REPO_ID.match(item):
                errors.append(f'"{key}" with value {item!r} is not valid. Use an id from the Hub.')
            elif key == "language" and not re.match(r"^(?:[a-z]{2,3}|multilingual|code)$", item):
                errors.append(f'"language" must be an ISO 639 code, found {item!r}')
    for i, model in enumerate(values.get("model-index", [])):
        where = f'"model-index[{i}]'
        if not isinstance(model.get("name"), str):
            errors.append(f'{where}.name" is required')
        if not isinstance(model.get("results"), list):
            errors.append(f'{where}.results" must be an array')
            continue
        for j, result in enumerate(model["results"]):
            task, dataset, metrics = (result.get(k) for k in ("task", "dataset", "metrics"))
            if not isinstance(task, dict) or not isinstance(task.get("type"), str):
                errors.append(f'{where}.results[{j}].task.type" is required')
            if not isinstance(dataset, dict) or not isinstance(dataset.get("name"), str):
                errors.append(f'{where}.results[{j}].dataset.name" is required')
            elif not isinstance(dataset.get("type"), str) or not _REPO_ID.match(dataset["type"]):
                errors.append(f'{where}.results[{j}].dataset.type" must look like a dataset id')
            if not isinstance(metrics, list) or not metrics:
                errors.append(f'{where}.results[{j}].metrics" is required')
            for k, metric in enumerate(metrics or ()):
                if not isinstance(metric.get("type"), str) or "value" not in metric:
                    errors.append(f'{where}.results[{j}].metrics[{k}]" needs type and value')
    return errors, warnings


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    # Plumbing

    def _treat(self):
        parts = urlsplit(self.path)
        self.route, self.query = unquote(parts.path), parse_qs(parts.query)
        self.is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.cut = None
        try:
            self._fail_if_asked()
            self._read_body()
            self._answer()
        except Failure as failure:
            self.send(failure.status, failure.body, {"X-Error-Code": failure.code} if failure.code else {})
        except ConnectionError:
            self._note(0)
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _treat  # noqa: N815  # http.server's names

    def _fail_if_asked(self):
        with self.hub.lock:
            for fault in self.hub.faults:
                matches = fault.get("method", self.command) == self.command and re.search(fault["path"], self.route)
                if not matches:
                    continue
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                if fault["times"] <= 0:
                    continue
                fault["times"] -= 1
                break
            else:
                return
        if "cut" in fault:
            self.cut = fault["cut"]
            return
        self._read_body()
        status, headers = fault["status"], fault.get("headers", {})
        self.send(status, {"error": fault.get("message", f"fault {status}")}, headers)
        raise ConnectionAbortedError

    def _read_body(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.cut is not None and self.command in ("PUT", "POST"):
            self.rfile.read(min(self.cut, length))
            self._hang_up()
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.body = b"".join(pieces)
        else:
            self.body = self.rfile.read(length)

    def _hang_up(self):
        self.connection.shutdown(2)
        raise ConnectionAbortedError

    def _note(self, status):
        wanted = self.headers.get("Range")
        self.hub.log.append([self.command, self.route, status, *([wanted] if wanted else [])])

    def send(self, status, content=b"", headers=None):
        """Answer with bytes, or with JSON."""
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        headers = {"Content-Length": str(len(content)), "X-Request-Id": "test", **(headers or {})}
        self._note(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut is not None:
            self.wfile.write(content[: self.cut])
            self.wfile.flush()
            self._hang_up()
        self.wfile.write(content)

    def log_message(self, *args):
        """Say nothing: `/_log` tells."""

    def _needs_token(self):
        if not self.is_known:
            raise Failure(401, "Invalid username or password.")

    # What there is

    def _answer(self):
        with self.hub.lock:
            for method, pattern, treat in _ROUTES:
                match = re.fullmatch(pattern, self.route)
                if match and (self.command == method or (method == "GET" and self.command == "HEAD")):
                    treat(self, **match.groupdict())
                    return
        raise Failure(404, f"no route {self.command} {self.route}")

    def faults(self):
        self.hub.faults = [{"times": 1, **fault} for fault in json.loads(self.body)]
        self.hub.log.clear()
        self.send(200, {})

    def show_log(self):
        self.send(200, self.hub.log)

    def whoami(self):
        self._needs_token()
        self.send(200, {"name": USER, "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def create(self):
        self._needs_token()
        values = json.loads(self.body)
        name = f"{values.get('organization') or USER}/{values['name']}"
        url = f"{self.address()}/{name}"
        if name in self.hub.repos:
            raise Failure(409, "You already created this model repo", url=url)
        if not name.startswith(f"{USER}/"):
            raise Failure(403, "You don't have the rights to create a model under this namespace")
        repo = {"private": values.get("visibility") == "private" or bool(values.get("private"))}
        repo |= {"branches": {}, "tags": {}, "commits": {}}
        self.hub.repos[name] = repo
        self.hub.add_commit(repo, "main", {".gitattributes": self._entry(b"*.safetensors filter=lfs\n")})
        self.send(200, {"url": url, "name": name})

    def address(self):
        return f"http://{self.headers['Host']}"

    def validate(self):
        errors, warnings = check_metadata(json.loads(self.body)["content"])
        found = {
            "errors": [{"message": text} for text in errors],
            "warnings": [{"message": text} for text in warnings],
        }
        self.send(400 if errors else 200, found)

    def preupload(self, id, rev):
        self._needs_token()
        _, files = self.hub.commit(self.hub.repo(id, True), rev)
        answer = []
        for file in json.loads(self.body)["files"]:
            sample = base64.b64decode(file["sample"])
            is_large = b"\0" in sample or file["path"].endswith((".safetensors", ".pt", ".pth"))
            oid = files.get(file["path"], {}).get("oid")
            mode = "lfs" if is_large else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.send(200, {"files": answer})

    def lfs_batch(self, id):
        self._needs_token()
        objects = []
        for item in json.loads(self.body)["objects"]:
            found = {"oid": item["oid"], "size": item["size"]}
            if not (self.hub.blobs / item["oid"]).exists():
                found["actions"] = {
                    "upload": {"href": f"{self.address()}/_lfs/{item['oid']}"},
                    "verify": {"href": f"{self.address()}/_verify"},
                }
            objects.append(found)
        self.send(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Failure(400, "the content does not have this hash")
        self.hub.write(self.body)
        self.send(200)

    def lfs_verify(self):
        item = json.loads(self.body)
        blob = self.hub.blobs / item["oid"]
        if not blob.exists() or blob.stat().st_size != item["size"]:
            raise Failure(404, "no such object")
        self.send(200, {})

    def _entry(self, content):
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return {"oid": oid, "size": len(content), "blob": self.hub.write(content), "lfs": False}

    def post_commit(self, id, rev):
        self._needs_token()
        repo = self.hub.repo(id, True)
        if rev not in repo["branches"]:
            raise Failure(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        files = dict(self.hub.commit(repo, rev)[1])
        for line in self.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "file":
                content = base64.b64decode(value["content"])
                if value["path"] == "README.md" and check_metadata(content.decode())[0]:
                    raise Failure(400, "the card's metadata is not valid")
                files[value["path"]] = self._entry(content)
            elif key == "lfsFile":
                blob = self.hub.blobs / value["oid"]
                if not blob.exists():
                    raise Failure(400, f"{value['path']}: its LFS object was not uploaded")
                entry = {"oid": value["oid"], "size": blob.stat().st_size, "blob": value["oid"], "lfs": True}
                files[value["path"]] = entry
            elif key == "deletedFile":
                files.pop(value["path"], None)
            elif key == "deletedFolder":
                files = {path: file for path, file in files.items() if not path.startswith(value["path"])}
        branch = rev
        if self.query.get("create_pr"):
            branch = f"refs/pr/{sum(name.startswith('refs/pr/') for name in repo['branches']) + 1}"
        sha = self.hub.add_commit(repo, branch, files)
        url = f"{self.address()}/{id}"
        self.send(
            200,
            {
                "success": True,
                "commitOid": sha,
                "commitUrl": f"{url}/commit/{sha}",
                "hookOutput": "",
                "pullRequestUrl": f"{url}/discussions/1" if branch != rev else None,
            },
        )

    def info(self, id, rev="main"):
        repo = self.hub.repo(id, self.is_known)
        sha, files = self.hub.commit(repo, rev)
        siblings = [{"rfilename": path} for path in sorted(files)]
        values = {"_id": "1", "id": id, "modelId": id, "sha": sha, "private": repo["private"], "tags": []}
        self.send(200, {**values, "siblings": siblings, "createdAt": _DATE, "lastModified": _DATE, "downloads": 0})

    def tree(self, id, rev, path=None):
        _, files = self.hub.commit(self.hub.repo(id, self.is_known), rev)
        found = []
        for name, file in sorted(files.items()):
            if path and not name.startswith(path.rstrip("/") + "/"):
                continue
            if not self.query.get("recursive") and "/" in name[len(path or "") :].strip("/"):
                continue
            found.append(self._told(name, file))
        if path and not found:
            raise Failure(404, f"{path} does not exist", "EntryNotFound")
        self.send(200, found)

    def _told(self, name, file):
        told = {"type": "file", "path": name, "oid": file["oid"], "size": file["size"]}
        return {**told, "lfs": {"oid": file["oid"], "size": file["size"], "pointerSize": 134}} if file["lfs"] else told

    def paths_info(self, id, rev):
        _, files = self.hub.commit(self.hub.repo(id, self.is_known), rev)
        body = self.body.decode()
        wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        self.send(200, [self._told(name, files[name]) for name in wanted if name in files])

    def refs(self, id):
        repo = self.hub.repo(id, self.is_known)

        def listed(kind, where):
            return [{"name": n, "ref": f"refs/{where}/{n}", "targetCommit": sha} for n, sha in repo[kind].items()]

        self.send(200, {"branches": listed("branches", "heads"), "tags": listed("tags", "tags"), "converts": []})

    def branch(self, id, name):
        self._needs_token()
        repo = self.hub.repo(id, True)
        if name in repo["branches"]:
            raise Failure(409, f"Reference already exists: {name}")
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        repo["branches"][name] = self.hub.commit(repo, start)[0]
        self.send(200, {})

    def tag(self, id, rev):
        self._needs_token()
        repo, name = self.hub.repo(id, True), json.loads(self.body)["tag"]
        if name in repo["tags"]:
            raise Failure(409, f"Tag already exists: {name}")
        repo["tags"][name] = self.hub.commit(repo, rev)[0]
        self.send(200, {})

    def resolve(self, id, rev, path):
        sha, files = self.hub.commit(self.hub.repo(id, self.is_known), rev)
        headers = {"X-Repo-Commit": sha}
        if path not in files:
            self.send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", **headers})
            return
        file = files[path]
        if file["lfs"]:
            linked = {"X-Linked-Etag": f'"{file["oid"]}"', "X-Linked-Size": str(file["size"])}
            # Another host, as on the Hub: of its own host the client follows a redirect already when it asks for names.
            store = self.address().replace("127.0.0.1", "localhost")
            self.send(302, b"", {**headers, **linked, "Location": f"{store}/_cdn/{file['blob']}"})
            return
        self._send_blob(file["blob"], {**headers, "ETag": f'"{file["oid"]}"'})

    def _send_blob(self, blob, headers):
        content = (self.hub.blobs / blob).read_bytes()
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not wanted:
            self.send(200, content, headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        if start >= len(content):
            self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self.send(206, content[start : end + 1], headers)

    def cdn(self, blob):
        self._send_blob(blob, {"ETag": f'"{blob}"'})


_KIND = "(?:models|spaces)"
_ROUTES = [
    ("POST", "/_faults", Handler.faults),
    ("GET", "/_log", Handler.show_log),
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/{_KIND}/{_ID}/preupload/(?P<rev>.+)", Handler.preupload),
    ("POST", f"/{_ID}\\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", "/_lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_put),
    ("POST", "/_verify", Handler.lfs_verify),
    ("POST", f"/api/{_KIND}/{_ID}/commit/(?P<rev>.+)", Handler.post_commit),
    ("GET", f"/api/{_KIND}/{_ID}", Handler.info),
    ("GET", f"/api/{_KIND}/{_ID}/revision/(?P<rev>.+)", Handler.info),
    ("GET", f"/api/{_KIND}/{_ID}/tree/(?P<rev>refs/[^/]+/[^/]+|[^/]+)(?:/(?P<path>.+))?", Handler.tree),
    ("POST", f"/api/{_KIND}/{_ID}/paths-info/(?P<rev>.+)", Handler.paths_info),
    ("GET", f"/api/{_KIND}/{_ID}/refs", Handler.refs),
    ("POST", f"/api/{_KIND}/{_ID}/branch/(?P<name>.+)", Handler.branch),
    ("POST", f"/api/{_KIND}/{_ID}/tag/(?P<rev>.+)", Handler.tag),
    ("GET", f"/(?:spaces/)?{_ID}/resolve/(?P<rev>refs/[^/]+/[^/]+|[^/]+)/(?P<path>.+)", Handler.resolve),
    ("GET", "/_cdn/(?P<blob>[0-9a-f]{64})", Handler.cdn),
]


def serve(folder):
    """Serve on a free port of the loopback; print the address."""
    Handler.hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1])
