"""Targets in the settings file: what each kind may say, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.engine.project import Project, load_project
from fairway.engine.targets import get_cluster, get_target
from fairway.errors import ConfigError
from fairway.spec.placement import Toleration
from fairway.spec.target import Limits, OidcSettings, TargetSettings

CAMPUS = """
[targets.campus]
kind = "kubernetes"
context = "uni"
namespace = "ml-team"
kubeconfig = "secret/kubeconfig"
server = "fairway-two"
image = "python:3.12-slim"
python = "3.12"
server-image = "registry.example.org/fairway@sha256:{digest}"
store = "s3://bucket/churn"
store-secret = "bucket"
journal = "secret:postgres/url"
storage = "50Gi"
storage-class = "fast.ssd"
nodes = {{ "kubernetes.io/arch" = "amd64" }}
tolerations = ["gpu", "team=vision:NoSchedule", {{ key = "spot", effect = "NoExecute", seconds = 30 }}]
queue = "team-a"
registry = "registry.example.org/team"
pull-secrets = ["pull"]
service-account = "worker"
max-pods = 100
cpu = 64
memory = "256Gi"
accelerators = {{ "nvidia.com/gpu" = 8 }}
per-run = {{ max-pods = 20, cpu = 16.5, memory = "64Gi", accelerators = {{ "nvidia.com/gpu" = 2 }} }}
disk = "1Gi"
grace = "30s"
requests-per-second = 50
address = "https://fairway.example.org/"

[targets.campus.oidc]
issuer = "https://login.example.org/realms/uni"
client-id = "fairway"
client-secret = "secret:fairway-oidc/client-secret"
name = "the university's login"
user-claim = "preferred_username"
groups-claim = "roles"
roles = {{ "ml-admins" = "admin", "*" = "view" }}
domains = ["Example.org"]
scopes = ["openid", "groups"]
""".format(digest="ab" * 32)


def load(folder: Path, text: str) -> Project:
    (folder / "fairway.toml").write_text(text)
    return load_project(str(folder), variables={})


def test_every_setting_of_a_cluster_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, CAMPUS).targets["campus"] == TargetSettings(
        name="campus",
        kind="kubernetes",
        context="uni",
        namespace="ml-team",
        kubeconfig=str(tmp_path / "secret" / "kubeconfig"),
        app="fairway-two",
        image="python:3.12-slim",
        server_image="registry.example.org/fairway@sha256:" + "ab" * 32,
        store="s3://bucket/churn",
        store_secret="bucket",
        journal="secret:postgres/url",
        storage="50Gi",
        storage_class="fast.ssd",
        nodes={"kubernetes.io/arch": "amd64"},
        tolerations=(
            Toleration("gpu"),
            Toleration("team", "Equal", "vision", "NoSchedule"),
            Toleration("spot", effect="NoExecute", seconds=30),
        ),
        queue="team-a",
        registry="registry.example.org/team",
        pull_secrets=("pull",),
        service_account="worker",
        limits=Limits(100, 64.0, 256 << 30, {"nvidia.com/gpu": 8}),
        per_run=Limits(20, 16.5, 64 << 30, {"nvidia.com/gpu": 2}),
        disk_bytes=1 << 30,
        grace_s=30.0,
        requests_per_s=50.0,
        python="3.12",
        address="https://fairway.example.org",
        oidc=OidcSettings(
            "https://login.example.org/realms/uni",
            "fairway",
            "secret:fairway-oidc/client-secret",
            "the university's login",
            "preferred_username",
            "roles",
            {"ml-admins": "admin", "*": "view"},
            ("example.org",),
            ("openid", "groups"),
        ),
    )


def test_a_cluster_needs_no_setting_but_its_kind(tmp_path: Path) -> None:
    campus = load(tmp_path, '[targets.campus]\nkind = "kubernetes"\n').targets["campus"]
    assert campus == TargetSettings("campus", "kubernetes")
    assert (campus.image, campus.app, campus.storage) == ("python:3.11-slim", "fairway", "10Gi")


def test_a_server_is_a_url(tmp_path: Path) -> None:
    project = load(tmp_path, '[targets.lab]\nkind = "server"\nurl = "https://lab.example.org/fairway/"\n')
    assert get_target(project, "lab") == TargetSettings("lab", "server", url="https://lab.example.org/fairway")


def test_this_machine_is_a_target_without_being_named(tmp_path: Path) -> None:
    assert get_target(load(tmp_path, "")) == TargetSettings()


def test_an_unknown_target_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no target 'campsu'") as caught:
        get_target(load(tmp_path, CAMPUS), "campsu")
    assert caught.value.hint.startswith("known targets: local, campus; define it under [targets.campsu]")


def test_the_only_cluster_is_meant_where_none_is_named(tmp_path: Path) -> None:
    assert get_cluster(load(tmp_path, CAMPUS), "").name == "campus"
    assert get_cluster(load(tmp_path, f'target = "campus"\n{CAMPUS}[targets.other]\nkind = "kubernetes"\n'), "").name == "campus"


def test_which_cluster_is_asked_where_there_are_two(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster is named") as caught:
        get_cluster(load(tmp_path, f'{CAMPUS}[targets.other]\nkind = "kubernetes"\n'), "")
    assert caught.value.hint == "say which: --on campus (there are: campus, other)"


@pytest.mark.parametrize("name", ["", "local", "lab"])
def test_what_is_no_cluster_is_refused_with_what_to_write(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"no Kubernetes target|is no cluster") as caught:
        get_cluster(load(tmp_path, '[targets.lab]\nkind = "server"\nurl = "http://lab"\n'), name)
    assert 'kind = "kubernetes"' in caught.value.hint


WRONG = [
    ('kind = "kubernets"', "kind", "targets.t.kind cannot be 'kubernets'"),
    ('kind = "local"', "kind", "the target 't' cannot be of the kind 'local'"),
    ("kontext = 1", "kontext", "there is no setting targets.t.kontext"),
    ("context = 1", "context", "targets.t.context must be a text, not 1"),
    ('namespace = "A_b"', "namespace", "targets.t.namespace must be a name of small letters, digits and hyphens, not 'A_b'"),
    ('server = "s' + "x" * 60 + '"', "server", "targets.t.server may have 40 characters"),
    ('image = "a b"', "image", "targets.t.image must be an image, not 'a b'"),
    ('python = "3.10"', "python", "targets.t.python must be a Python minor version from 3.11, not '3.10'"),
    ("python = 3.12", "python", "targets.t.python must be a text, not 3.12"),
    ('server-image = "x:y z"', "server-image", "targets.t.server-image must be an image"),
    ('store = "ftp://x"', "store", "targets.t.store must be an s3://, gs:// or az:// URL, not 'ftp://x'"),
    ('store-secret = "A"', "store-secret", "targets.t.store-secret must be a name"),
    ('journal = "postgresql://u:p@h/d"', "journal", "targets.t.journal must be secret:NAME/KEY"),
    ('storage = "big"', "storage", "targets.t.storage: not an amount of memory: 'big'"),
    ('storage-class = "A b"', "storage-class", "targets.t.storage-class must be a name, not 'A b'"),
    ('nodes = ["a"]', "nodes", "targets.t.nodes must be a table of node labels"),
    ('nodes = { "a b" = "c" }', "nodes", "targets.t.nodes must be a table of node labels"),
    ('tolerations = "gpu"', "tolerations", "targets.t.tolerations must be a list, not 'gpu'"),
    ('tolerations = ["a:Never"]', "tolerations", "targets.t.tolerations has what is no toleration, not 'a:Never'"),
    ('tolerations = [{ key = "a", operator = "In" }]', "tolerations", "targets.t.tolerations has what is no toleration"),
    ("queue = []", "queue", "targets.t.queue must be a text, not []"),
    ('registry = "https://r"', "registry", "targets.t.registry must be a repository without a scheme, not 'https://r'"),
    ('pull-secrets = "a"', "pull-secrets", "targets.t.pull-secrets must be a list of names, not 'a'"),
    ('service-account = "x y"', "service-account", "targets.t.service-account must be a name"),
    ("max-pods = -1", "max-pods", "targets.t.max-pods must be a whole number from 0, not -1"),
    ('cpu = "4"', "cpu", "targets.t.cpu must be a number of cores, not '4'"),
    ('memory = "lots"', "memory", "targets.t.memory: not an amount of memory: 'lots'"),
    ("accelerators = 2", "accelerators", "targets.t.accelerators must be a table of counts, not 2"),
    ("per-run = 3", "per-run", "targets.t.per-run must be a table, not 3"),
    ("per-run = { max-podz = 3 }", "max-podz", "there is no setting targets.t.per-run.max-podz"),
    ("per-run = { cpu = 0 }", "cpu", "targets.t.per-run.cpu must be a number of cores, not 0"),
    ('disk = "x"', "disk", "targets.t.disk: not an amount of memory: 'x'"),
    ('grace = "soon"', "grace", "targets.t.grace: not a duration: 'soon'"),
    ('address = "fairway.example.org"', "address", "targets.t.address must be an http(s) URL without a path, not 'fairway.example.org'"),
    ('address = "https://a.example/x"', "address", "targets.t.address must be an http(s) URL without a path"),
    ('oidc = "https://login.example.org"', "oidc", "targets.t.oidc must be a table, not 'https://login.example.org'"),
    ('oidc = { issuer = "login.example.org" }', "issuer", "targets.t.oidc.issuer must be an http(s) URL, not 'login.example.org'"),
    ('oidc = { client-id = "fairway" }', "oidc", "targets.t.oidc has no issuer"),
    ('oidc = { issuer = "https://l.example" }', "oidc", "targets.t.oidc has no client-id"),
    ('oidc = { issuer = "https://l.example", client-id = "f" }', "oidc", "targets.t.oidc needs an address to come back to"),
    ('oidc = { issuers = "https://l.example" }', "issuers", "there is no setting targets.t.oidc.issuers"),
    ("requests-per-second = 0", "requests-per-second", "targets.t.requests-per-second must be a number above 0, not 0"),
]


@pytest.mark.parametrize(("line", "key", "message"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_wrong_setting_of_a_cluster_is_refused_at_its_own_line(tmp_path: Path, line: str, key: str, message: str) -> None:
    kind = "" if line.startswith("kind") else 'kind = "kubernetes"\n'
    text = f'[targets.other]\nkind = "kubernetes"\nnamespace = "n"\n[targets.t]\n{kind}{line}\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(message)
    assert caught.value.hint
    assert caught.value.where == f"{tmp_path}/fairway.toml:{len(text.splitlines())}"


OIDC = """[targets.t]
kind = "kubernetes"
address = "https://fairway.example.org"
[targets.t.oidc]
issuer = "https://login.example.org"
client-id = "fairway"
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "targets.t.oidc.roles must give groups one of the roles view, run, admin, not {}"),
        ('roles = { "ml" = "owner" }', "targets.t.oidc.roles must give groups one of the roles view, run, admin, not {'ml': 'owner'}"),
        ('roles = ["admin"]', "targets.t.oidc.roles must give groups one of the roles"),
        ('client-secret = "hunter2"', "targets.t.oidc.client-secret must be secret:NAME/KEY"),
        ('domains = "example.org"', "targets.t.oidc.domains must be a list of texts"),
    ],
)
def test_a_wrong_setting_of_a_provider_is_refused(tmp_path: Path, line: str, message: str) -> None:
    roles = "" if not line or line.startswith("roles") else 'roles = { "*" = "view" }\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, OIDC + roles + line)
    assert caught.value.message.startswith(message) and caught.value.hint
    assert caught.value.where.startswith(f"{tmp_path}/fairway.toml:")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[targets.lab]\n", 1, "targets.lab does not say its kind"),
        ('[targets.lab]\nkind = "server"\n', 1, "targets.lab.url must be an http(s) URL without credentials, not ''"),
        ('[targets.lab]\nkind = "server"\nurl = "http://me:secret@lab"\n', 3, "targets.lab.url must be an http(s) URL without credentials"),
        ('[targets.lab]\nkind = "server"\nurl = "http://lab"\nimage = "x"\n', 4, "there is no setting targets.lab.image"),
        ('[targets."My Lab"]\nkind = "server"\n', 1, "'My Lab' cannot be a target's name"),
        ('[targets.local]\nkind = "kubernetes"\n', 2, "the target 'local' cannot be of the kind 'kubernetes'"),
        ("targets = 3\n", 1, "targets must be a table of tables"),
    ],
)
def test_a_wrong_target_is_refused_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(message)
    assert caught.value.where == f"{tmp_path}/fairway.toml:{line}"
    assert caught.value.hint
