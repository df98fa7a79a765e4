"""``make golden``: write the golden manifests again."""

from .rendering import CASES, write

for case in CASES:
    write(case)
print(f"{len(CASES)} cases are written; `git diff tests/unit/golden` shows what has changed.")
