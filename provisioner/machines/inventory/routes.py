"""How ssh gets to a machine of the user's: what ssh itself makes of the user's configuration and the inventory.

`ssh -G` prints the settings that hold for a destination, with ~/.ssh/config, /etc/ssh/ssh_config and the options of
the inventory taken into account (ssh(1)). What decides the way and who is let in is kept from it; the rest, such as
forwardings, is for the user's own sessions.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from provisioner import command
from provisioner.errors import UsageError

SSH_PORT = 22

# Words of ssh_config(5), lower case as -G prints them.
_KEPT = {
    "addressfamily", "bindaddress", "bindinterface", "casignaturealgorithms", "certificatefile", "checkhostip",
    "ciphers", "compression", "connectionattempts", "connecttimeout", "gssapiauthentication",
    "gssapidelegatecredentials", "hostbasedauthentication", "hostkeyalgorithms", "identitiesonly", "identityagent",
    "identityfile", "kexalgorithms", "knownhostscommand", "macs", "nohostauthenticationforlocalhost",
    "pkcs11provider", "preferredauthentications", "proxycommand", "proxyjump", "proxyusefdpass",
    "pubkeyacceptedalgorithms", "pubkeyauthentication", "requiredrsasize", "revokedhostkeys", "securitykeyprovider",
    "serveralivecountmax", "serveraliveinterval", "verifyhostkeydns",
}  # fmt: skip
# Said in any case, because the lab's ssh_config has its own for labs whose hosts provision makes.
_HOST_KEYS = ("userknownhostsfile", "globalknownhostsfile", "stricthostkeychecking")
_PATHS = ("certificatefile", "identityagent", "identityfile")


class Way(BaseModel):
    """Where ssh goes and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    user: str
    options: dict[str, str]
    """Of ssh_config(5)."""


def find(name: str, variables: Mapping[str, Any], *, beside: Path) -> Way:
    """:param variables: the host's, in Ansible's words.
    :param beside: the folder that a key file's relative path may start from.

    :raises UsageError: they say what cannot be.
    """
    target = _plain(name, variables, "ansible_host", "ansible_ssh_host") or name
    argv = ["ssh", "-G"]
    for option, names in {
        "-p": ("ansible_port", "ansible_ssh_port"),
        "-l": ("ansible_user", "ansible_ssh_user"),
    }.items():
        if value := _plain(name, variables, *names):
            argv += [option, value]
    if key := _plain(name, variables, "ansible_ssh_private_key_file", "ansible_private_key_file"):
        argv += ["-o", f'IdentityFile="{_key(name, key, beside)}"']
    words: list[str] = []
    for arguments in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        words += _words(name, arguments, _plain(name, variables, arguments))
    argv += words
    settings = _ask([*argv, "--", target], f"{name}: ssh does not take its settings")
    defaults = _ask(["ssh", "-G", "-F", "/dev/null", "--", target], "ssh does not tell its defaults")
    host, port = settings["hostname"][0], int(settings["port"][0])
    options = {
        word: _value(word, values)
        for word, values in settings.items()
        if word in _HOST_KEYS or (word in _KEPT and values != defaults.get(word))
    }
    if jumps := options.pop("proxyjump", ""):
        options["proxycommand"] = _through(jumps, words)
    # As ssh would look for it in known_hosts; the lab's own name for the host stands in none of them.
    alias = settings.get("hostkeyalias", [host if port == SSH_PORT else f"[{host}]:{port}"])[0]
    return Way(host=host, port=port, user=settings["user"][0], options={**options, "hostkeyalias": alias})


def _through(jumps: str, words: Sequence[str]) -> str:
    """A ProxyCommand for a ProxyJump, which would hand the lab's ssh_config on to the jump; the user's holds there.

    :param jumps: as -G prints them: "first,user@[10.0.0.1]:2222".
    :param words: the inventory's options, which may name another configuration.
    """
    *before, last = jumps.split(",")
    argv = ["ssh", "-o", "BatchMode=yes"]
    for place, word in enumerate(words):
        if word.startswith("-F"):
            argv += [word, words[place + 1]] if word == "-F" else [word]
    if before:
        argv += ["-J", ",".join(before)]
    destination = last.replace("[", "").replace("]", "") if last.count(":") < 2 else last
    return f"{shlex.join(argv)} -W '[%h]:%p' {shlex.quote(f'ssh://{destination}')}"


def _ask(argv: Sequence[str], complaint: str) -> dict[str, list[str]]:
    done = command.run(argv, check=False)
    if done.status != 0:
        raise UsageError(f"{complaint}: {done.stderr.strip() or 'it gives no reason'}")
    settings: dict[str, list[str]] = defaultdict(list)
    for line in done.stdout.splitlines():
        word, _, value = line.partition(" ")
        settings[word].append(value)
    return settings


def _value(word: str, values: Sequence[str]) -> str:
    """All values of a setting; a second one, as of IdentityFile, is a line of its own."""
    return f"\n  {word} ".join(f'"{value}"' if word in _PATHS else value for value in values)


def _plain(host: str, variables: Mapping[str, Any], *names: str) -> str:
    """The first of these variables that there is, as text.

    :raises UsageError: it is to be computed by Ansible.
    """
    for name in names:
        if (value := variables.get(name)) is not None:
            if not isinstance(value, str | int):
                raise UsageError(f"{host}: {name} is {value!r}, which is no text")
            if "{{" in str(value):
                raise UsageError(f"{host}: {name} is a template, {value}", hint=f"give the value of {name} itself")
            return str(value)
    return ""


def _words(host: str, variable: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{host}: {variable} cannot be read: {error} in {text!r}") from error


def _key(host: str, text: str, beside: Path) -> Path:
    path = Path(text).expanduser()
    places = [path] if path.is_absolute() else [Path.cwd() / path, beside / path]
    for place in places:
        if place.is_file():
            return place.resolve()
    raise UsageError(f"{host}: its key is not there: {' nor '.join(map(str, places))}")
