"""What is taken out, what stays, and that no text makes it slow. No literal here looks like a token: all are built."""

from __future__ import annotations

import random
import re
import shlex
import uuid

import pytest

from mllab.ids import new_id
from mllab.security.redaction import REDACTED, SHAPES, Redactor, is_secret_name, redact_mapping, redact_text

DIGITS = "0123456789"
HEX = "0123456789abcdef"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
MIXED = LETTERS + DIGITS


def made(length: int, alphabet: str = MIXED, seed: int = 7) -> str:
    """Return reproducible characters that hold a digit and a letter when the alphabet has both."""
    source = random.Random(seed)
    body = "".join(source.choice(alphabet) for _ in range(length))
    return body if alphabet in (DIGITS, LETTERS) else "a1"[: length - 1] * (length > 2) + body[2:]


UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + DIGITS
HOOK = "https://hooks.slack" + ".com/services/"
PEM = "-----BEGIN {0}PRIVATE" + " KEY-----\n{1}\n{1}\n-----END {0}PRIVATE" + " KEY-----"

# issuer -> (the secret as it occurs, the part of it that must be gone)
ISSUED: dict[str, str] = {
    "AWS access key id": "AK" + "IA" + "".join(random.Random(1).choice(UPPER) for _ in range(16)),
    "AWS temporary key id": "AS" + "IA" + "".join(random.Random(2).choice(UPPER) for _ in range(16)),
    "GitHub classic": "gh" + "p_" + made(36),
    "GitHub app": "gh" + "s_" + made(36),
    "GitHub OAuth": "gh" + "o_" + made(36),
    "GitHub fine-grained": "github" + "_pat_" + made(22) + "_" + made(59),
    "GitLab": "glp" + "at-" + made(20),
    "GitLab runner": "gl" + "rt-" + made(20),
    "Hugging Face": "h" + "f_" + made(34, LETTERS),
    "OpenAI project": "sk" + "-proj-" + made(48) + "-" + made(20),
    "OpenAI of old": "s" + "k-" + made(48),
    "Anthropic": "sk" + "-ant-" + "api03-" + made(93),
    "OpenRouter": "sk" + "-or-" + "v1-" + made(64, HEX),
    "Slack bot": "xo" + "xb-" + made(12, DIGITS) + "-" + made(12, DIGITS) + "-" + made(24),
    "Slack app": "xa" + "pp-" + "1-" + made(11) + "-" + made(13, DIGITS) + "-" + made(64, HEX),
    "Stripe": "sk" + "_live_" + made(24),
    "Stripe restricted": "rk" + "_test_" + made(24),
    "webhook signing": "wh" + "sec_" + made(32),
    "Google API": "AI" + "za" + made(35),
    "Google OAuth": "ya" + "29." + made(60),
    "Google client": "GOC" + "SPX-" + made(28),
    "JSON Web Token": "ey" + "J" + made(30) + ".ey" + "J" + made(60) + "." + made(43),
    "Neptune": "ey" + "JhcGlf" + made(120),
    "age": "AGE-" + "SECRET-KEY-1" + "".join(random.Random(3).choice(UPPER) for _ in range(58)),
    "Azure application": made(3) + "8" + "Q~" + made(34),
    "Telegram": made(9, DIGITS) + ":" + "AA" + made(33),
    "Terraform Cloud": made(14) + "." + "atlasv1." + made(67),
    "Twilio": "S" + "K" + made(32, HEX),
    "npm": "npm" + "_" + made(36),
    "PyPI": "pypi" + "-AgE" + made(80),
    "DigitalOcean": "dop" + "_v1_" + made(64, HEX),
    "Databricks": "da" + "pi" + made(32, HEX),
    "SendGrid": "S" + "G." + made(22) + "." + made(43),
    "Replicate": "r" + "8_" + made(37),
    "Groq": "gs" + "k_" + made(52),
    "NVIDIA": "nv" + "api-" + made(64),
    "xAI": "xa" + "i-" + made(80),
    "Docker Hub": "dckr" + "_pat_" + made(27),
    "Vault": "hv" + "s." + made(90),
    "Grafana": "gl" + "sa_" + made(32) + "_" + made(8, HEX),
    "LangSmith": "lsv2" + "_pt_" + made(32, HEX) + "_" + made(10, HEX),
    "Pinecone": "pc" + "sk_" + made(60),
    "Shopify": "shp" + "at_" + made(32, HEX),
    "Atlassian": "ATA" + "TT3" + made(180),
    "Mailgun": "ke" + "y-" + made(32, HEX),
    "New Relic": "NR" + "AK-" + "".join(random.Random(4).choice(UPPER) for _ in range(27)),
    "RubyGems": "ruby" + "gems_" + made(48, HEX),
    "Doppler": "dp" + ".pt." + made(43),
    "Supabase": "sb" + "p_" + made(40, HEX),
    "RSA key": PEM.format("RSA ", made(64)),
    "OpenSSH key": PEM.format("OPENSSH ", made(70)),
    "key of no kind": PEM.format("", made(64)),
    "PGP key": "-----BEGIN PGP PRIVATE" + f" KEY BLOCK-----\nVersion: GnuPG v2 (GNU/Linux)\n\n{made(64)}\n=abcd\n"
    "-----END PGP PRIVATE" + " KEY BLOCK-----",
}

VALUE = "v4" + made(18)
# name -> (text before, the secret, text after): only the middle goes.
NAMED: dict[str, tuple[str, str, str]] = {
    "assignment": ("password=", "hunter2", " next"),
    "colon": ("db_password: ", "hunter2", "\nnext"),
    "json": ('{"password": "', 'a, "b'.replace('"', '\\"'), '", "user": "x"}'),
    "json in json": ('{\\"api_key\\": \\"', VALUE, '\\", \\"n\\": 1}'),
    "python repr": ("Config(api_key='", VALUE, "', lr=0.1)"),
    "python dict": ("{'access_token': '", VALUE, "'}"),
    "subscript": ('config["client_secret"] = "', VALUE, '"'),
    "bytes": ('secret = b"', VALUE, '"'),
    "camel case": ("secretAccessKey: ", VALUE, ""),
    "aws": ("aws_secret_access_key = ", made(20) + "/" + made(19), "\n"),
    "aws session": ("AWS_SESSION_TOKEN=", VALUE, "\n"),
    "shell": ("export HF_TOKEN=", VALUE, " && python train.py"),
    "option": ("train --token ", "xyz", " --lr 1"),
    "option with equals": ("train --api-key=", "xyz", " --lr 1"),
    "option of a group": ("train --hub.password ", "xyz", ""),
    "listed options": ("['train', '--hf-token', '", "xyz", "', '--lr']"),
    "query": ("https://example.org/x?a=1&token=", VALUE, "&b=2"),
    "connection string": ("Server=db;User=sa;Password=", "pa55word", ";Encrypt=1"),
    "libpq": ("host=db password=", "pa55word", " dbname=x"),
    "azure storage": ("AccountName=x;AccountKey=", made(86) + "==", ";EndpointSuffix=core"),
    "azure bus": ("SharedAccessKeyName=root;SharedAccessKey=", made(43) + "=", ""),
    "azure sas": ("https://x.blob.example/c?sv=2022&sig=", made(40) + "%3D", "&se=2030"),
    "aws signed url": ("https://b.example/k?X-Amz-Date=1&X-Amz-Signature=", made(64, HEX), ""),
    "url": ("https://ann:", "pa55", "@example.org/x"),
    "url with at": ("postgresql://ann:", "p@55:x", "@db:5432/x"),
    "redis": ("redis://:", "pa55", "@cache:6379/0"),
    "bearer": ("curl -H 'Authorization: ", "Bearer " + VALUE, "' https://x"),
    "basic": ("authorization: ", "Basic " + made(24), "\nHost: x"),
    "custom scheme": ('"Authorization": "', "ApiKey " + VALUE, '"'),
    "bearer alone": ("sent Bearer ", VALUE, " to x"),
    "api header": ("X-Api-Key: ", VALUE, ""),
    "cookie": ("Set-Cookie: ", "session=" + VALUE + "; HttpOnly", "\nHost: x"),
    "netrc": ("machine api.example login user password ", made(40, HEX), "\n"),
    "npmrc": ("//registry.example/:_authToken=", VALUE, "\n"),
    "docker config": ('{"auths": {"x": {"auth": "', made(40), '"}}}'),
    "webhook": (HOOK, "T" + made(8) + "/B" + made(8) + "/" + made(24), ""),
    "words": ("your api key: ", VALUE, ""),
    "private key option": ("--private-key ", VALUE, ""),
    "credentials": ("credentials=", VALUE, ""),
    "wandb": ("WANDB_API_KEY=", made(40, HEX), " python"),
}

KEPT = [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "run 01k4q2v8zj5w9x3m7n6p0r4t8y finished",
    "id 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "/home/ann/.cache/huggingface/token/models--bert-base-uncased/snapshots/86b5e0934494bd15",
    "/usr/lib/python3.11/site-packages/sklearn/linear_model/_logistic.py:469",
    "epoch 3 step 12345678 loss=0.123456789 lr=1e-05 tokens=123456789012",
    "tokens_per_second=123456.75 max_tokens=4096 num_tokens: 1000000 total_tokens: 12345678",
    'pad_token="<pad>" eos_token=</s> eos_token_id=50256 mask_token="[MASK]"',
    'tokenizer: "bert-base-uncased" token_type_ids=[0, 1]',
    'stop_token: "stop12345"',
    "sort_key=timestamp cache_key=3f2504e04f8941d3 key: value monitor_key=val_loss_1",
    "forward pass: 12.5 ms, pass=3 bypass=yes",
    "author: someone1234567, authority=x",
    "password=None password='' token=null api_key=${API_KEY} password=<password> secret=********",
    "password_file=/run/secrets/db secret_name=prod-db-1 password_length=16 credentials_path=/x/y1",
    "sk-learn-contrib/imbalanced-learn-2024 sk-image",
    "https://github.com/example/mllab.git git@github.com:example/mllab.git",
    "http://localhost:5000/#/experiments/1 s3://bucket/key-1/part-00000.parquet",
    "module.key.weight: 12 attention.key_proj.bias=0.5",
    "usage: train [--token TOKEN] [--api-key KEY]".replace("--token TOKEN", "--tokens N").replace("KEY", "<key>"),
    "Bearer of bad news: basic understanding of cookies",
    "Enter your password: ",
    "2026-07-31T12:00:00Z 1722427200000000 192.168.0.1:8080 0x7f250670",
    "[redacted] password=[redacted] https://a:[redacted]@b",
]

CODE_KEPT = [
    "password = args.password",
    "connect(user=user, password=password, token=token)",
    'api_key = os.environ["OPENAI_API_KEY"]',
    "def login(password: str, token: Optional[str] = None) -> None:",
    'headers = {"Authorization": f"Bearer {token}", "Cookie": cookie}',
    'parser.add_argument("--api-key", "-k", default=None)',
    'token = tokenizer.encode("x1")',
    "secret: SecretStr = Field(default=None)",
    'f"password={password}"',
]


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(environ={})


@pytest.mark.parametrize("issuer", ISSUED)
@pytest.mark.parametrize("around", ["{}", "x = {}\n", '{{"v": "{}"}}', "a,{},b", "'{}'", "see {}."])
def test_issued_secrets_go_wherever_they_stand(issuer: str, around: str, redactor: Redactor) -> None:
    secret = ISSUED[issuer]
    text = around.format(secret)
    result = redactor.text(text)
    assert REDACTED in result
    # Nothing of it is left that one could use: no piece of eight characters.
    for piece in re.findall(r"[A-Za-z0-9]{8,}", secret):
        if piece not in ("atlasv1", "github", "services", "rubygems"):
            assert piece not in result, result
    assert redactor.text(result) == result


def test_the_table_covers_the_shapes(redactor: Redactor) -> None:
    assert len(ISSUED) >= 30
    samples = [
        *ISSUED.values(),
        *("".join(parts) for parts in NAMED.values()),
        "discord.com" + "/api/webhooks/" + "1" * 20,
    ]
    unused = [shape.issuer for shape in SHAPES if not any(re.search(shape.pattern, text) for text in samples)]
    assert unused == ["Weights & Biases"] or unused == []


@pytest.mark.parametrize("case", NAMED)
def test_named_secrets_go_and_their_names_stay(case: str, redactor: Redactor) -> None:
    before, secret, after = NAMED[case]
    result = redactor.text(before + secret + after)
    assert result == before + REDACTED + after
    assert redactor.text(result) == result


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_stays(text: str, redactor: Redactor) -> None:
    assert redactor.text(text) == text
    assert redactor.text(text, code=True) == text


def test_random_ids_and_hashes_stay(redactor: Redactor) -> None:
    source = random.Random(11)
    words = [new_id() for _ in range(200)]
    words += [str(uuid.UUID(int=source.getrandbits(128))) for _ in range(200)]
    words += [f"{source.getrandbits(160):040x}" for _ in range(200)]
    words += [f"{source.getrandbits(256):064x}" for _ in range(200)]
    words += [repr(source.random()) for _ in range(200)]
    text = " ".join(words)
    assert redactor.text(text) == text


@pytest.mark.parametrize("text", CODE_KEPT)
def test_code_that_passes_secrets_on_stays(text: str, redactor: Redactor) -> None:
    assert redactor.text(text, code=True) == text


def test_literal_secrets_in_code_go(redactor: Redactor) -> None:
    assert redactor.text('password = "hunter2"', code=True) == f'password = "{REDACTED}"'
    assert redactor.text("+password: hunter2", code=True) == f"+password: {REDACTED}"
    assert redactor.text("+POSTGRES_PASSWORD=postgres", code=True) == f"+POSTGRES_PASSWORD={REDACTED}"
    assert redactor.text("x = " + ISSUED["GitHub classic"], code=True) == f"x = {REDACTED}"


SECRET_NAMES = """
    password DB_PASSWORD db.password user-password passwd secret client_secret secretAccessKey api_key API_KEY_2 apiKey
    x-api-key apikey token access_token hfToken HF_TOKEN --token auth_token private_key credentials
    AWS_SECRET_ACCESS_KEY jwt db_pass
"""
HARMLESS_NAMES = """
    lr key sort_key tokens max_tokens pad_token eos_token_id tokenizer token_type_ids password_file secret_name pwd PWD
    OLDPWD pass forward_pass monkey keyboard author path KEY 123 - loss public_key credentials_path
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", HARMLESS_NAMES.split())
def test_harmless_names(name: str) -> None:
    assert not is_secret_name(name)


def test_environment_values_go_by_value(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in (
        "PWD",
        "TEAM_KEY",
        "PLAIN_PASSWORD",
        "KEY_FILE",
        "SORT_KEY",
        "SHORT_TOKEN",
        "A_NUMBER_KEY",
        "WHERE_SECRET",
    ):
        monkeypatch.delenv(name, raising=False)
    secret, path = made(20), str(tmp_path)
    monkeypatch.setenv("TEAM_KEY", secret)
    monkeypatch.setenv("PLAIN_PASSWORD", "postgres")
    monkeypatch.setenv("SORT_KEY", "timestamp")
    monkeypatch.setenv("SHORT_TOKEN", "abc1")
    monkeypatch.setenv("A_NUMBER_KEY", "12345678")
    monkeypatch.setenv("WHERE_SECRET", path)
    monkeypatch.setenv("PWD", path)
    assert redact_text(f"<{secret}>x{secret}x") == f"<{REDACTED}>x{REDACTED}x"
    kept = f"postgresql://db timestamp abc1 12345678 {path}"
    assert redact_text(kept) == kept
    assert redact_text("user postgres!") == f"user {REDACTED}!"


def test_given_secrets_go_also_when_quoted_for_urls() -> None:
    assert redact_text("a p/w+1 b p%2Fw%2B1 c", ["p/w+1"]) == f"a {REDACTED} b {REDACTED} c"
    longer = "abc-1-longer"
    assert redact_text(f"{longer} abc-1", ["abc-1", longer]) == f"{REDACTED} {REDACTED}"
    assert redact_text("nothing", ["", "x1"]) == "nothing"


def test_given_secrets_are_no_patterns() -> None:
    assert redact_text("a.c abc a+b", ["a.c", "a+b"]) == f"{REDACTED} abc {REDACTED}"


def test_argv_keeps_its_shape(redactor: Redactor) -> None:
    argv = [
        "train.py",
        "--api-key",
        "xyz",
        "--token=abc",
        "--lr",
        "0.1",
        "--pad-token",
        "<pad>",
        "--password",
        "--x",
        "-v",
    ]
    assert redactor.argv(argv) == [
        *(
            "train.py",
            "--api-key",
            REDACTED,
            f"--token={REDACTED}",
            "--lr",
            "0.1",
            "--pad-token",
            "<pad>",
            "--password",
            "--x",
            "-v",
        ),
    ]
    assert redactor.argv(["https://a:b@c/d"]) == [f"https://a:{REDACTED}@c/d"]
    assert REDACTED in shlex.join(redactor.argv(["x", "--secret", "a b"]))


def test_mappings_are_redacted_by_key_and_by_value() -> None:
    values = {
        "lr": 0.1,
        "epochs": 3,
        "password": "x",
        "pin": {"password": 1234, "on": True, "api_key": None},
        "credentials": {"user": "ann", "list": ["a", {"b": "c"}]},
        "urls": ("https://a:b@c", "plain"),
        "pad_token": "<pad>",
        "token": "${TOKEN}",
    }
    assert redact_mapping(values) == {
        "lr": 0.1,
        "epochs": 3,
        "password": REDACTED,
        "pin": {"password": REDACTED, "on": True, "api_key": None},
        "credentials": {"user": REDACTED, "list": [REDACTED, {"b": REDACTED}]},
        "urls": [f"https://a:{REDACTED}@c", "plain"],
        "pad_token": "<pad>",
        "token": "${TOKEN}",
    }
    assert values["password"] == "x"


def test_deep_mappings_end() -> None:
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"a": deep, "password": "x1"}
    assert "x1" not in repr(redact_mapping(deep))


def test_a_private_key_without_an_end_goes_as_far_as_it_looks_like_one(redactor: Redactor) -> None:
    body = "\n".join(made(64, seed=seed) for seed in range(5))
    result = redactor.text("-----BEGIN PRIVATE" + f" KEY-----\n{body}\n<end> stays")
    assert result == f"{REDACTED}<end> stays"


def test_lone_surrogates_and_controls_pass(redactor: Redactor) -> None:
    assert redactor.text("\ud800\x00\x1b[31m ok \udfff") == "\ud800\x00\x1b[31m ok \udfff"


HOSTILE = [
    *(
        "a",
        "=",
        "-",
        "\\",
        '"',
        " ",
        "0",
        "\n",
        "key=",
        "key ",
        "token=",
        'token="',
        'password="',
        "password=",
        "password",
        "--token ",
    ),
    *(
        "eyJ",
        "eyJa.",
        "://",
        "://a:",
        "://a:b@",
        "sk-",
        "SG.",
        ":AA",
        "Q~",
        "8Q~a",
        "authorization: ",
        "bearer ",
        "cookie: a",
        "?sig=",
    ),
    *(
        "machine a login b ",
        "-----BEGIN PRIVATE" + " KEY-----",
        "a" * 64 + "key=",
        '_auth="',
        "secret: \\",
        "api_key: ",
        "İpassword=",
    ),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_it_slow(piece: str, redactor: Redactor) -> None:
    # A step that is quadratic would take many minutes for this, and the timeout would end it.
    text = piece * ((1 << 18) // len(piece))
    result = redactor.text(text + "\npassword=hunter2")
    assert "hunter2" not in result


@pytest.mark.timeout(30)
def test_a_hostile_megabyte(redactor: Redactor) -> None:
    source = random.Random(5)
    text = "".join(source.choice(HOSTILE) * source.randrange(1, 60) for _ in range(5000))[: 1 << 20]
    assert len(text) == 1 << 20
    assert "hunter2" not in redactor.text(text + "\npassword=hunter2")
