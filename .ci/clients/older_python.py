"""Lets aiobmsble load on a Python before 3.12: `type X = …` becomes `X = …`, `override` comes from typing_extensions, and a
quote inside an f-string becomes the other one.

Only the installed copy in this environment is changed, and only these three things.
"""
import re
import sysconfig
from pathlib import Path

package = Path(sysconfig.get_paths()["purelib"]) / "aiobmsble"
changed = 0
for path in package.rglob("*.py"):
    text = path.read_text(encoding="utf-8")
    new = re.sub(r"^(\s*)type (\w+) = ", r"\1\2 = ", text, flags=re.M)
    # Known since 3.12; typing_extensions has it for older ones, bleak brings that along.
    new = re.sub(r"^from typing import (.*)\boverride\b", r"from typing_extensions import override\nfrom typing import \1",
                 new, flags=re.M)
    new = new.replace('{",".join(', "{','.join(")
    if new != text:
        path.write_text(new, encoding="utf-8")
        changed += 1
print(f"aiobmsble: {changed} files adapted to this Python")
