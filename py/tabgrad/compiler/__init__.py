"""`tabgrad.compile`: calls captured once, and replayed while nothing that they depend on has changed.

`compiled` holds the callable; `watch` sees which code runs in a call and `state` what Python state that code
can read; `capture` notes tensors; `results` and `entry` make a replay of it; `keys` tells calls apart.
"""

from tabgrad.compiler.compiled import Compiled as Compiled, compile as compile
from tabgrad.compiler.explanation import Explanation as Explanation, explain as explain
