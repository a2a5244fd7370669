"""A program that shows progress until it is stopped."""

import time

from tabgrad.utils import progress

second = True
step = 1
count = 0
with progress.bar() as bar:
    while True:
        count += step
        bar.update(int(step))
        bar.log(count=count)
        time.sleep(0.01)
