"""Curator's recipes, each between two clients; what they are stands in CuratorRecipes.java."""

from harness import alone, equal
from test_java import JavaClient

# TTL nodes, and containers that go before a test gets tired of waiting.
SETTINGS = {"extendedTypesEnabled": "true", "znode.container.checkIntervalMs": "1000"}
RECIPES = 35


@alone
def recipes(context):
    for size in (1, 3):
        with context.ensemble(size, **SETTINGS) as ensemble, \
                JavaClient(context, ensemble.hosts, main="CuratorRecipes") as java:
            java.until("done")
            equal("all recipes", sum(line.startswith("ok Curator: ") for line in java.said), RECIPES)
