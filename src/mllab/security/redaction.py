"""Takes secrets out of text before it is stored: by known value, by shape and by name.

By value: what the environment holds under a name such as ``HF_TOKEN``. By shape: tokens that their issuers gave a
prefix to be found by, private keys, passwords in URLs. By name: what follows ``password=``, ``--api-key`` or
``Authorization:``. The secret becomes ``[redacted]`` and its name stays. Nothing here is a guarantee: a secret of no
known shape under a harmless name passes.

Every step is linear in the length of the text: a shape's regular expression runs only where a literal of it occurs,
and none can be made to scan the same characters again and again.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REDACTED = "[redacted]"
MIN_SECRET = 8
MAX_NAME = 64
MAX_DEPTH = 50


class Shape(NamedTuple):
    """What secrets of one issuer look like. ``needles``: one of them is in every match (lower case when ``(?i)``)."""

    issuer: str
    needles: tuple[str, ...]
    pattern: str
    replacement: str = REDACTED


def _token(issuer: str, *prefixes: str, body: str) -> Shape:
    """Return the shape of tokens that begin with a prefix and go on with ``body``, a run of at least its minimum."""
    starts = "|".join(re.escape(prefix) for prefix in prefixes)
    return Shape(issuer, prefixes, rf"(?<![A-Za-z0-9])(?:{starts}){body}")


_ARMOUR = r"[A-Za-z0-9+/=\s\\:,.()_@\"']"
SHAPES = (
    _token("AWS access key id", "AKIA", "ASIA", "ABIA", "ACCA", body=r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("GitHub", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", body=r"[A-Za-z0-9]{30,}"),
    _token("GitHub fine-grained", "github_pat_", body=r"\w{22,}"),
    _token(
        "GitLab",
        *("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "gloas-", "glagent-", "glimt-"),
        body=r"[\w-]{20,}",
    ),
    _token("Hugging Face", "hf_", "api_org_", body=r"[A-Za-z0-9]{30,}"),
    _token(
        "OpenAI, OpenRouter, LangFuse", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-or-", "sk-lf-", body=r"[\w-]{20,}"
    ),
    _token("Anthropic", "sk-ant-", body=r"[\w-]{20,}"),
    _token("OpenAI of old, DeepSeek", "sk-", body=r"[A-Za-z0-9]{32,}"),
    _token("Slack", "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-", body=r"[A-Za-z0-9-]{10,}"),
    Shape(
        "Slack and Discord webhooks",
        ("hooks.slack.com/", "/api/webhooks/"),
        r"(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)[\w/-]{16,}",
        r"\1" + REDACTED,
    ),
    _token(
        "Stripe",
        *(f"{kind}_{mode}_" for kind in ("sk", "rk", "pk") for mode in ("live", "test")),
        body=r"[A-Za-z0-9]{16,}",
    ),
    _token("Stripe and Svix webhooks", "whsec_", body=r"[A-Za-z0-9+/=]{24,}"),
    _token("Google API", "AIza", body=r"[\w-]{35}(?![\w-])"),
    _token("Google OAuth", "ya29.", "1//0", "GOCSPX-", body=r"[\w-]{20,}"),
    Shape("JSON Web Token", ("eyJ",), r"(?<![\w-])eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?"),
    _token("Neptune", "eyJhcGlf", body=r"[A-Za-z0-9+/_-]{40,}={0,2}"),
    Shape(
        "private key",
        ("PRIVATE KEY",),
        # The body ends at the next five dashes, whosever they are: a BEGIN without its END costs no second look.
        r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----"
        rf"{_ARMOUR}{{0,16384}}(?:-(?!----){_ARMOUR}{{0,16384}}){{0,64}}(?:-----END [A-Z0-9 ]{{0,48}}-----)?",
    ),
    Shape("age", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
    Shape("password in a URL", ("://",), r"://([^\s/:@\"'<>]{0,128}):([^\s/\"'<>]{1,1024})@", rf"://\1:{REDACTED}@"),
    Shape(
        "Authorization header",
        ("authorization",),
        r"(?i)(authorization\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\?[\"']?)"
        r"(?:(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)[ \t]{1,4}[^\s\"'{}<\[\\]"
        r"|[^\s\"'()\[\]{}<\\]{16})[^\n\"'\\]*",
        r"\1" + REDACTED,
    ),
    Shape("bearer token", ("bearer",), r"(?i)(?<![a-z])(bearer[ \t]{1,4})[A-Za-z0-9._~+/=-]{16,}", r"\1" + REDACTED),
    Shape(
        "cookie header",
        ("cookie",),
        r"(?i)(cookie\\?[\"']?:[ \t]{0,4}\\?[\"']?)[^\s\"'()\[\]{}=\\]{1,256}=[^\n\"'\\]*",
        r"\1" + REDACTED,
    ),
    Shape(
        "signed URL",
        ("sig=", "signature=", "security-token="),
        r"(?i)([?&;](?:sig|signature|x-(?:amz|goog|oss)-(?:signature|security-token))=)[A-Za-z0-9%+/=_.-]{16,}",
        r"\1" + REDACTED,
    ),
    Shape("Azure application", ("Q~",), r"(?<![\w.~-])[\w.~-]{3}\dQ~[\w.~-]{31,34}(?![\w~-])"),
    Shape("netrc", ("machine ",), r"(machine \S{1,256}\s{1,8}login \S{1,256}\s{1,8}password )\S+", r"\1" + REDACTED),
    Shape(
        "docker and npm login",
        ('auth"', "_auth="),
        r"(\"auth\"\s{0,8}:\s{0,8}\"|_auth=)[A-Za-z0-9+/=]{8,}",
        r"\1" + REDACTED,
    ),
    Shape("Telegram bot", (":AA",), r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),
    Shape("Terraform Cloud", (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    Shape("Twilio", ("SK",), r"(?<![A-Za-z0-9])SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    _token("npm", "npm_", body=r"[A-Za-z0-9]{36,}"),
    _token("PyPI", "pypi-AgE", body=r"[\w-]{50,}"),
    _token("DigitalOcean", "dop_v1_", "doo_v1_", "dor_v1_", body=r"[a-f0-9]{64}"),
    _token("Databricks", "dapi", body=r"[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])"),
    _token("SendGrid", "SG.", body=r"[\w-]{16,32}\.[\w-]{16,64}"),
    _token("Replicate", "r8_", body=r"[A-Za-z0-9]{37}"),
    _token("Groq", "gsk_", body=r"[A-Za-z0-9]{40,}"),
    _token("NVIDIA", "nvapi-", body=r"[\w-]{40,}"),
    _token("xAI and Perplexity", "xai-", "pplx-", body=r"[A-Za-z0-9]{40,}"),
    _token("Docker Hub", "dckr_pat_", "dckr_oat_", body=r"[\w-]{20,}"),
    _token("Vault", "hvs.", "hvb.", "hvr.", body=r"[\w-]{24,}"),
    _token("Grafana", "glsa_", "glc_", body=r"[A-Za-z0-9+/=_]{30,}"),
    _token("Weights & Biases", "wandb_v1_", body=r"\w{20,}"),
    _token("LangSmith", "lsv2_pt_", "lsv2_sk_", body=r"[a-f0-9]{32}_[a-f0-9]{10}"),
    _token("Pinecone and RunPod", "pcsk_", "rpa_", body=r"\w{36,}"),
    _token("Shopify", "shpat_", "shpca_", "shppa_", "shpss_", body=r"[a-fA-F0-9]{32}"),
    _token("Atlassian", "ATATT3", "ATCTT3", body=r"[\w=-]{40,}"),
    _token("Mailgun", "key-", body=r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    _token("New Relic and Postman", "NRAK-", "PMAK-", body=r"[A-Za-z0-9-]{27,}"),
    _token("RubyGems", "rubygems_", body=r"[a-f0-9]{48}"),
    _token("Doppler", "dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", body=r"[\w.-]{40,}"),
    _token("Supabase, Sentry, Figma, Linear", "sbp_", "sntrys_", "figd_", "lin_api_", body=r"[\w+/=-]{36,}"),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_WORDS = _words(
    "password passwords passwd passphrase secret secrets credential credentials jwt authorization "
    "apikey accesskey secretkey privatekey authtoken accesstoken apitoken"
)
_KEY_KINDS = _words(
    "api access secret private account signing encryption auth master service subscription deploy storage openai"
)
_ACCOUNTS = _words("db database sql mysql pg postgres redis smtp mail ftp user admin root ssh http proxy login")
# In machine learning a token is mostly a piece of text.
_TEXT_TOKENS = _words(
    "pad eos bos unk sep cls mask special stop end start begin prompt image audio video extra first last next new per "
    "input output text word sub decoder max min num n total completion cached reasoning tool role"
)
# A name that ends so tells about a secret.
_ABOUT = _words(
    "file path dir folder name names length len size count counts type types policy min max hash expiry expires ttl "
    "age url uri field fields prompt hint required enabled attempts retries version env var manager store error errors "
    "provider"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")

_KEYWORDS = ("pass", "pwd", "secret", "token", "key", "credential", "auth", "jwt")
_KEYWORD = re.compile("|".join(_KEYWORDS), re.IGNORECASE | re.ASCII)
_REST_OF_NAME = re.compile(r"[A-Za-z0-9_.-]*")
_SEPARATOR = re.compile(
    r"(?P<assigned>\\{0,3}[\"']?\]?[ \t]{0,8}(?:=>|:=|==?|:)[ \t]{0,8})"
    r"|(?P<listed>[\"'],[ \t]{0,8}(?=[\"']))|(?P<spaced>[ \t]{1,8})"
)
_VALUE = re.compile(
    r"[bBrRfFuU]{0,2}(?P<mark>\\{0,3}[\"'])(?P<quoted>(?:\\.|[^\\\n])*?)(?=(?P=mark)|\\?\n|\\?\Z)"
    r"|(?P<bare>[^\s\"'`,;&)}\]<>|\\]+)"
)
_DIGIT = re.compile(r"[0-9]")
_HARMLESS = _words("none null nil true false yes no on off undefined unset empty required optional missing str string")
# A value that is kept may hide a secret of its own, as in token=a?password=b; looking inside costs this much a name.
LOOK_INSIDE = 256


@lru_cache(maxsize=1024)
def is_secret_name(name: str, *, broad: bool = False) -> bool:
    """Say whether a variable, param or option of this name holds a secret.

    Args:
        name: in any spelling: ``HF_TOKEN``, ``db.password``, ``--api-key``, ``secretAccessKey``.
        broad: as for names of environment variables, where every KEY and PASS counts.

    Example:
        >>> [is_secret_name(name) for name in ("api_key", "pad_token", "sort_key", "password_file")]
        [True, False, False, False]
    """
    words = [word.lower() for word in _WORD.findall(name[-MAX_NAME:])]
    if not words or words[-1] in _ABOUT:
        return False
    if not _SECRET_WORDS.isdisjoint(words[-3:]):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if broad and before and not {"key", "keys", "token", "tokens", "pass", "pwd", "pat", "auth"}.isdisjoint(words):
        return before not in _TEXT_TOKENS
    if last == "token":
        return before not in _TEXT_TOKENS
    if last == "key":
        return before in _KEY_KINDS
    return last in ("pass", "pwd") and before in _ACCOUNTS


class Redactor:
    """Knows the secret values of one moment; make one for many texts, the functions below make one a call.

    Args:
        secrets: values to take out wherever they occur.
        environ: the variables whose secret values are taken out too; the process's own by default.
    """

    def __init__(self, secrets: Iterable[str] = (), environ: Mapping[str, str] | None = None) -> None:
        found = {secret for secret in secrets if secret}
        for name, value in (os.environ if environ is None else environ).items():
            if len(value) >= MIN_SECRET and is_secret_name(name, broad=True) and _is_worth_hiding(name, value):
                found.add(value)
        found |= {quote(secret, safe="") for secret in found}
        # Longest first: a secret that contains another must go whole.
        self._secrets = sorted(found, key=lambda secret: (-len(secret), secret))

    def text(self, text: str, *, code: bool = False) -> str:
        """Return ``text`` without secrets.

        Args:
            text: anything: a log, a URL, a command line.
            code: the text is source code or a diff of it: ``password=args.password`` is no secret there.
        """
        for secret in self._secrets:
            if secret in text:
                # A password that is a plain word, such as "postgres", is taken out only as a word.
                text = re.sub(rf"\b{secret}\b", REDACTED, text) if secret.isalpha() else text.replace(secret, REDACTED)
        lower = text.lower()
        for shape in SHAPES:
            where = lower if shape.pattern.startswith("(?i)") else text
            if any(needle in where for needle in shape.needles):
                text = re.sub(shape.pattern, shape.replacement, text)
        if any(keyword in lower for keyword in _KEYWORDS):
            text = _redact_named(text, code)
        return text

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return a command line without secrets, also where an option and its value are two arguments."""
        result: list[str] = []
        hide_next = False
        for argument in argv:
            if hide_next and not argument.startswith("-"):
                result.append(REDACTED)
                hide_next = False
                continue
            name, equals, value = argument.partition("=")
            is_option = name.startswith("-") and is_secret_name(name)
            hide_next = is_option and not equals
            hidden = is_option and equals and not _is_harmless(value)
            result.append(f"{name}={REDACTED}" if hidden else self.text(argument))
        return result

    def value(self, value: Any, *, is_secret: bool = False, depth: int = 0) -> Any:
        """Return JSON-like data without secrets: by the keys of its mappings, and inside its text."""
        if isinstance(value, str):
            return REDACTED if is_secret and not _is_harmless(value) else self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if depth >= MAX_DEPTH:
            return REDACTED
        if isinstance(value, dict):
            return {
                key: self.value(inner, is_secret=is_secret or is_secret_name(str(key)), depth=depth + 1)
                for key, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(inner, is_secret=is_secret, depth=depth + 1) for inner in value]
        return REDACTED if is_secret else value


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without the secrets of the environment, those given, and those that look like one.

    Example:
        >>> redact_text("mlflow server --token s3cret --port 80")
        'mlflow server --token [redacted] --port 80'
        >>> redact_text("git clone https://ann:pa55@example.org/x.git")
        'git clone https://ann:[redacted]@example.org/x.git'
    """
    return Redactor(secrets).text(text)


def redact_mapping(values: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return nested ``values`` without secrets.

    Example:
        >>> redact_mapping({"lr": 0.1, "hub": {"api_key": "abc"}})
        {'lr': 0.1, 'hub': {'api_key': '[redacted]'}}
    """
    redacted = Redactor(secrets).value(dict(values))
    assert isinstance(redacted, dict)
    return redacted


def _is_worth_hiding(name: str, value: str) -> bool:
    """Say whether a variable's value is the secret itself: no path to it, no number, no switch."""
    if _is_harmless(value) or (value.isdigit() and len(value) < 16):
        return False
    if value.isalpha() and not is_secret_name(name):  # SORT_KEY=timestamp
        return False
    return not (value.startswith(("/", "~", ".")) and os.path.exists(os.path.expanduser(value)))


def _is_harmless(value: str) -> bool:
    """Say whether a value stands for a secret without being one: None, ``${TOKEN}``, ``<password>``, stars."""
    return (
        not value
        or value[:32].lower() in _HARMLESS
        or value.startswith(("{", "$", "%", "<", "[redacted"))
        or (len(value) > 2 and not value.strip("*xX.-_ "))
    )


def _redact_named(text: str, code: bool) -> str:
    """Take out what follows a secret's name. Moves only forward, so that no character is read often."""
    pieces: list[str] = []
    done = position = 0
    while True:
        keyword = _KEYWORD.search(text, position)
        if keyword is None:
            break
        rest = _REST_OF_NAME.match(text, keyword.end())
        assert rest is not None
        position = rest.end()
        separator = _SEPARATOR.match(text, position)
        if separator is None:
            continue
        name = _whole_name(text, keyword.start(), position)
        is_option = name.startswith("-")
        if not (is_option or separator["assigned"]) or not is_secret_name(name):
            continue
        found = _VALUE.match(text, separator.end())
        if found is None:
            continue
        group = "bare" if found["bare"] is not None else "quoted"
        begin, end = found.span(group)
        if _hides(name, separator["assigned"], text[begin:end], is_bare=group == "bare", code=code):
            pieces += (text[done:begin], REDACTED)
            done = position = end
        elif end - begin > LOOK_INSIDE:
            position = end
    pieces.append(text[done:])
    return "".join(pieces)


def _whole_name(text: str, start: int, end: int) -> str:
    """Return the name that a keyword at ``start`` is part of, and the word before a lone "key"."""
    first = start
    stop = max(0, start - MAX_NAME)
    while first > stop and text[first - 1] in _NAME_CHARACTERS:
        first -= 1
    if first > stop and text[first - 1] == " " and text[first:end].lower() == "key":
        return text[max(0, first - 12) : end]
    return text[first:end]


def _hides(name: str, assigned: str | None, value: str, *, is_bare: bool, code: bool) -> bool:
    """Say whether ``value``, which follows the secret name ``name``, is to be taken out."""
    if _is_harmless(value) or (assigned is None and value.startswith("-")):
        return False
    if code and "{" in value:  # an f-string or a template
        return False
    if code and is_bare and not (name.isupper() and assigned == "="):  # NAME=value is a line of a .env file
        return _DIGIT.search(value) is not None and not any(mark in value for mark in ".([{")
    words = [word.lower() for word in _WORD.findall(name)]
    is_text_likely = words[-1] == "token" and not name.startswith("-") and _SECRET_WORDS.isdisjoint(words)
    return not is_text_likely or _looks_random(value)


def _looks_random(value: str) -> bool:
    return len(value) >= MIN_SECRET and not value.isdigit() and _DIGIT.search(value) is not None
