"""`latchpin as init|serve|user add|pin issue|device list|client add|client list|key rotate|key list`.

Not for work: here are only words in and words out, and the life of the process.
"""

import argparse
import getpass
import os
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from broker_bridge import configuration
from broker_bridge.configuration import ConfigurationError
from host_sim import https_service
from host_sim.authorization_server import admin, app, first_start
from host_sim.authorization_server.accounts import AccountError
from host_sim.authorization_server.services import Services, open_services
from host_sim.authorization_server.settings import ClientEntry, Settings, load

_EPILOG = """\
A device asks for a PIN and shows two words, such as "amber fox". Then:

  latchpin as pin issue --device lp-7f3k2m --config as.toml

prints the PIN for it, with the same two words; `init` makes a configuration to start from.
Every setting can come from the environment: LATCHPIN_AS__LISTEN=127.0.0.1:9443, LATCHPIN_AS__CLIENTS__0__SECRET=...
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin as`."""
    raw = argparse.RawDescriptionHelpFormatter
    parser.formatter_class = raw
    parser.epilog = _EPILOG
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=os.environ.get("LATCHPIN_AS_CONFIG", "as.toml"),
        help="the configuration (default: $LATCHPIN_AS_CONFIG, or as.toml here)",
    )
    commands = parser.add_subparsers(dest="as_command", required=True, metavar="init|serve|user|pin|device|client|key")
    init = commands.add_parser("init", help="make what a new authorization server needs, beside as.toml", parents=[common])
    init.add_argument("--try-out", action="store_true", help="with a certificate for localhost, to try it out on this computer")
    commands.add_parser("serve", help="start the authorization server", parents=[common], epilog=_EPILOG, formatter_class=raw)

    users = commands.add_parser("user", help="people: accounts, and how they prove who they are").add_subparsers(
        dest="as_action", required=True, metavar="add|password|otp|knowledge|unlock"
    )
    for action, text in (
        ("add", "give a person an account; asks for the password"),
        ("password", "give an account another password, and sign it out everywhere"),
    ):
        parser = users.add_parser(action, help=text, parents=[common])
        parser.add_argument("name", metavar="NAME", help="what they sign in with: letters, digits and . _ + @ -")
        parser.add_argument(
            "--password-file", type=Path, metavar="FILE", help="take the password from the first line of this file (- is stdin)"
        )

    for action, text in (
        ("otp", "set up an authenticator (TOTP): prints what it takes, this once"),
        ("knowledge", "record what the person will be asked for (as.toml: knowledge), at the terminal"),
        ("unlock", "let an account answer again after too many wrong answers"),
    ):
        parser = users.add_parser(action, help=text, parents=[common])
        parser.add_argument("name", metavar="NAME", help="the name of the account")

    pins = commands.add_parser("pin", help="issue a PIN for a waiting device").add_subparsers(
        dest="as_action", required=True, metavar="issue"
    )
    issue = pins.add_parser(
        "issue", help="issue a PIN for a waiting device", parents=[common], epilog=_EPILOG, formatter_class=raw
    )
    issue.add_argument(
        "--device", required=True, metavar="ID", help="the device that waits, as `latchpin as device list` names it"
    )
    issue.add_argument(
        "--binding-word", metavar="WORDS", help="the two words on its screen; needed when several wait by one name"
    )
    issue.add_argument("--in-advance", action="store_true", help="for whoever installs the device: before it asks")

    text = "who waits, and which devices ever asked"
    devices = commands.add_parser("device", help=text).add_subparsers(
        dest="as_action", required=True, metavar="list|approve|refuse|unlock"
    )
    devices.add_parser("list", help=text, parents=[common])
    approve = devices.add_parser("approve", help="let in the device that shows a code", parents=[common])
    approve.add_argument("user_code", metavar="CODE", help="the code on its screen, such as WDJB-MJHT")
    for action, text in (("refuse", "tell a waiting device no"), ("unlock", "let a locked device answer again")):
        parser = devices.add_parser(action, help=text, parents=[common])
        parser.add_argument("device", metavar="ID", help="the device, as `latchpin as device list` names it")
    text = "who may ask on a device's behalf"
    clients = commands.add_parser("client", help=text).add_subparsers(dest="as_action", required=True, metavar="add|list")
    clients.add_parser("list", help=text, parents=[common])
    add = clients.add_parser("add", help="put a client on the list, beside those of as.toml", parents=[common])
    add.add_argument("id", metavar="ID", help="its client_id")
    add.add_argument("--name", metavar="TEXT", help="what people read when they let it in (default: its id)")
    add.add_argument("--secret", action="store_true", help="make a secret for it, printed this once; without one it is public")
    add.add_argument(
        "--redirect-uri", metavar="URI", action="append", default=[], help="where its answers may be sent; can be given again"
    )
    add.add_argument("--bearer", action="store_true", help="it may have tokens that are not bound to a DPoP key")
    add.add_argument(
        "--resource-server-of", metavar="URI", help="it serves this resource of as.toml and may introspect tokens for it"
    )

    keys = commands.add_parser("key", help="the keys that sign access tokens").add_subparsers(
        dest="as_action", required=True, metavar="rotate|list"
    )
    keys.add_parser("list", help="which key signs, which is next, which are still good", parents=[common])
    rotate = keys.add_parser("rotate", help="publish a new key, and sign with it when everybody can know it", parents=[common])
    rotate.add_argument(
        "--after",
        type=_seconds,
        default=3600,
        metavar="SECONDS",
        help="when the new key begins to sign; until then resource servers fetch it (default: 3600)",
    )


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= 30 * 86400:
        raise ValueError("out of range")
    return seconds


def run(args: argparse.Namespace) -> int:
    """0 when done; 1 when it cannot be done now; 2 when configuration or words are wrong. stderr names the next step."""
    try:
        if args.as_command == "init":
            return _init(Path(args.config), args.try_out)
        settings = load(args.config)
        if args.as_command == "serve":
            return _serve(settings)
        services = open_services(settings)
        try:
            if args.as_command == "key":
                return _rotate_key(services, args.after) if args.as_action == "rotate" else _list_keys(services)
            if args.as_command == "client":
                return _add_client(services, args) if args.as_action == "add" else _list_clients(services)
            if args.as_command == "user":
                return _user(services, args)
            return _issue_pin(services, args) if args.as_command == "pin" else _device(services, args)
        finally:
            services.storage.close()
    except (admin.AdminError, AccountError) as error:
        print(f"latchpin as: {error}", file=sys.stderr)
        return 1
    except ConfigurationError as error:
        print(f"latchpin as: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"latchpin as: {error.filename or args.config}: {error.strerror}", file=sys.stderr)
        return 2


def _init(config: Path, try_out: bool) -> int:
    left = first_start.prepare(config, try_out)
    print(f"{config} and what belongs to it are made. Next:")
    for number, line in enumerate(left, 1):
        print(f"  {number}. {line}")
    return 0


def _serve(settings: Settings) -> int:
    services = open_services(settings)
    try:
        https_service.serve(app.build(services), settings, settings.issuer)
    finally:
        services.storage.close()
    return 0


def _user(services: Services, args: argparse.Namespace) -> int:
    if args.as_action == "add":
        return _add_user(services, args.name, args.password_file)
    if args.as_action == "password":
        account = services.accounts.by_name(args.name)
        if account is None:
            raise AccountError("there is no account of this name: `latchpin as user add` makes one")
        services.accounts.change_password(account, _password(args.password_file), None)
        print("Changed. Whoever was signed in with the old one is not any more.")
        return 0
    if args.as_action == "otp":
        uri = admin.enrol_otp(services, args.name)
        print(uri)
        print("Give this to the person's authenticator, as a QR code say: it is not shown again, and an older one is void.")
    elif args.as_action == "knowledge":
        admin.enrol_knowledge(
            services, args.name, {entry.name: _asked(entry.label) for entry in services.settings.knowledge_inputs}
        )
        print("Recorded, as keyed hashes: nobody can read it here.")
    else:
        admin.unlock_account(services, args.name)
        print("Unlocked.")
    return 0


def _asked(label: str) -> str:
    # Not on the command line, which others can see; a pipe may answer line by line.
    return getpass.getpass(f"{label}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _device(services: Services, args: argparse.Namespace) -> int:
    if args.as_action == "list":
        return _list_devices(services)
    if args.as_action == "approve":
        approved = admin.approve(services, args.user_code)
        print(f'{approved["device"]}, which shows "{approved["binding_word"]}", is let in when it looks next.')
    elif args.as_action == "refuse":
        admin.refuse(services, args.device)
        print("It is told when it asks next.")
    else:
        admin.unlock(services, args.device)
        print("Unlocked.")
    return 0


def _add_user(services: Services, name: str, password_file: Path | None) -> int:
    account = services.accounts.create(name, _password(password_file))
    print(f"{account.name} may sign in at {services.settings.endpoint('')}")
    return 0


def _password(file: Path | None) -> str:
    """From the first line of a file, or asked for twice at the terminal; never from the command line, which others can see."""
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise AccountError("the password file is not text in UTF-8") from None
        return (text.splitlines() or [""])[0]
    if not sys.stdin.isatty():
        raise AccountError("no terminal to ask for the password at: write it into a file and name that with --password-file")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise AccountError("that was not the same password twice: try again")
    return password


def _issue_pin(services: Services, args: argparse.Namespace) -> int:
    if args.in_advance:
        issued = admin.issue_pin_in_advance(services, args.device)
        print(f"PIN {_in_threes(issued['pin'])} for {issued['device']}, when it asks.")
        print(f"It works once, for {_span(issued['expires_in'])}.")
        return 0
    issued = admin.issue_pin(services, args.device, args.binding_word)
    print(f'PIN {_in_threes(issued["pin"])} for {issued["device"]}, which shows "{issued["binding_word"]}".')
    print(f"It works once, for {_span(issued['expires_in'])}. If the device shows other words, do not give it away.")
    return 0


def _in_threes(pin: str) -> str:
    return f"{pin[:3]} {pin[3:6]} {pin[6:]}"


def _list_devices(services: Services) -> int:
    waiting = admin.waiting(services)
    for entry in waiting:
        state = "locked" if entry["locked"] else "PIN issued" if entry["pin_issued"] else "waits"
        since = _span(services.now_s() - entry["since"])
        print(f'{entry["device"]:24}{state:12}"{entry["binding_word"]}" for {since}, asks for {entry["scope"]}')
    names = {entry["device"] for entry in waiting}
    for device in admin.devices(services):
        if device.device not in names:
            seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(device.last_seen))
            print(f"{device.device:24}{'locked' if device.locked else 'known':12}last asked {seen}")
            names.add(device.device)
    if not names:
        print("no device asked yet: start one, or look at the bridge (`latchpin doctor`)")
    return 0


def _rotate_key(services: Services, after_s: int) -> int:
    new = admin.rotate_key(services, after_s)
    print(f"Key {new.kid} is published now and signs from {_clock(new.signs_from)} on. The server need not be restarted.")
    print("The older keys stay published until the last token that they signed is dead: `latchpin as key list`.")
    return 0


def _list_keys(services: Services) -> int:
    now_s = services.now_s()
    signing = services.keys.signing_keys.signing(now_s)
    for key in services.keys.signing_keys.live(now_s):
        state = "signs" if key.kid == signing.kid else "next" if key.signs_from > now_s else "old"
        print(f"{key.kid:45}{state:8}{f'from {_clock(key.signs_from)}' if key.signs_from else 'from the first start'}")
    return 0


def _add_client(services: Services, args: argparse.Namespace) -> int:
    try:
        entry = ClientEntry(
            id=args.id,
            name=args.name,
            redirect_uris=args.redirect_uri,
            dpop_bound_access_tokens=not args.bearer,
        )
    except ValidationError as error:
        raise ConfigurationError(configuration.lines("client add", error, [])) from None
    secret = admin.add_client(services, entry, args.secret, args.resource_server_of)
    print(f"Client {entry.id} is on the list; the server need not be restarted.")
    if secret is not None:
        print(f"Its secret, shown this once: {secret}")
    return 0


def _list_clients(services: Services) -> int:
    for client in services.clients.all():
        if client.resource is not None:
            print(f"{client.id:24}{'confidential':14}serves {client.resource}")
            continue
        kind = "confidential" if client.confidential else "public"
        tokens = "DPoP tokens only" if client.dpop_bound_access_tokens else "bearer tokens too"
        print(f"{client.id:24}{kind:14}{'first-party' if client.first_party else 'refused (not first-party)':28}{tokens}")
    return 0


def _clock(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s))


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
