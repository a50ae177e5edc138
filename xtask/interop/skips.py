"""Lists of tests in a client's own suite that are not run, and why: `NAME: REASON` on a line; with
`1: ` or `3: ` in front, against so many servers only."""

from pathlib import Path


def skips(file: Path, size: int) -> dict[str, str]:
    """The reason by the test."""
    found = {}
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            continue
        if line[:3] in ("1: ", "3: "):
            if int(line[0]) != size:
                continue
            line = line[3:]
        name, reason = line.split(": ", 1)
        found[name] = reason
    return found
