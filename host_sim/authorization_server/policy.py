"""Which challenges a request must pass: the first rule of the table in as.toml that fits.

Not for the challenges themselves: challenges/ has one file each.
"""

from fnmatch import fnmatchcase

from host_sim.authorization_server.settings import PolicyRule


def choose(rules: list[PolicyRule], scope: str, device: str, acr_values: str) -> PolicyRule | None:
    """The rule that decides; None where no rule fits, and then nobody is let in.

    acr_values: the classes that would do, best liked first (RFC 9470, section 4). Where no rule leads to one of them, the first
    that fits otherwise decides, and the token says what was reached.
    """
    asked = set(scope.split())
    fitting = [rule for rule in rules if rule.scope in (None, *asked) and fnmatchcase(device, rule.device)]
    wanted = [rule for acr in acr_values.split() for rule in fitting if rule.acr == acr]
    return next(iter(wanted + fitting), None)
