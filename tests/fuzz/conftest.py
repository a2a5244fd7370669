"""How many programs: `--hypothesis-profile=thousands --hypothesis-seed=1` makes many, others for each seed."""

from hypothesis import settings
from hypothesis.internal.conjecture import providers

settings.register_profile("steady", derandomize=True)
settings.register_profile("thousands", max_examples=3000)
settings.load_profile("steady")

# Hypothesis draws numbers that it finds in the modules loaded so far: it would parse all of the library in each
# process, and steady programs would be others after any change of a number in it.
providers.is_local_module_file = lambda path: False
