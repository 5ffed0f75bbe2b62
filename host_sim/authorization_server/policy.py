"""Which challenges a request must pass: the first rule of the table in as.toml that fits.

Not for the challenges themselves: challenges/ has one file each.
"""

from host_sim.authorization_server.settings import PolicyRule


def choose(rules: list[PolicyRule], scope: str) -> tuple[str, ...]:
    """Names of challenges in the order in which they are asked; empty where no rule fits, and then nobody is let in."""
    asked = set(scope.split())
    for rule in rules:
        if rule.scope is None or rule.scope in asked:
            return tuple(rule.challenges)
    return ()
