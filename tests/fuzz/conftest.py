"""How many programs: `--hypothesis-profile=thousands --hypothesis-seed=1` makes many, others for each seed."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True)
settings.register_profile("thousands", max_examples=3000)
settings.load_profile("steady")
