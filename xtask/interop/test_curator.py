"""Curator's recipes, each between two clients; what they are stands in CuratorRecipes.java."""

from harness import alone, equal
from program import ClientProgram

# TTL nodes, and containers that go before a test gets tired of waiting.
SETTINGS = {"extendedTypesEnabled": "true", "znode.container.checkIntervalMs": "1000"}
RECIPES = 35


@alone
def recipes(context):
    for size in (1, 3):
        with context.ensemble(size, **SETTINGS) as ensemble:
            java = context.programs.java_client("CuratorRecipes", ensemble.hosts, classes=context.classes)
            with ClientProgram(java) as client:
                client.until("done")
            equal("all recipes", sum(line.startswith("ok Curator: ") for line in client.said), RECIPES)
