"""What programs do to the page by mistake or on purpose: it goes on, says what happened, and begins afresh."""

from __future__ import annotations

import pytest

from tests.web.desk import Desk


def text(desk: Desk, name: str) -> str:
    return desk.page.locator(f"#{name}").text_content() or ""


STUBBORN = """
print("stuck")
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""


def fresh(desk: Desk) -> None:
    """Have the worker ended and a new one made."""
    desk.write(STUBBORN)
    desk.press()
    desk.until_output("stuck")
    desk.press()
    desk.until_output("Python starts afresh")
    desk.until_ready()


# -- numbers that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [("nan", "NaN"), ("inf", "∞"), ("-inf", "−∞")],
    ids=["nan", "inf", "minus-inf"],
)
def test_a_loss_that_is_no_number_is_shown_and_ends_nothing(
    desk: Desk, value: str, said: str
) -> None:
    output = desk.run(
        "from tabgrad.utils import progress\nwith progress.bar(total=3) as bar:\n"
        f"    for x in (1.5, 1.0, float('{value}')):\n"
        "        bar.update()\n        bar.log(loss=x, accuracy=x)\nprint('trained on')\n"
    )
    assert output == "trained on\n"
    assert desk.page.locator(".chart output").all_text_contents() == [said, said]
    label = desk.page.locator(".plot").first.get_attribute("aria-label")
    assert label == f"Curve of loss: {said} at step 3"


def test_numbers_of_other_kinds_can_be_logged_and_counted(desk: Desk) -> None:
    output = desk.run(
        "import numpy as np\nimport tabgrad as tg\nfrom tabgrad.utils import progress\n"
        "with progress.bar(total=np.int64(2), desc=7) as bar:\n"
        "    bar.update(np.int32(2))\n    bar.log(a=np.float32(0.5), b=10**30, c=tg.ones(1), d=True)\n"
        "print('logged')",
        60_000,
    )
    assert output == "logged\n"
    assert desk.page.locator(".chart output").all_text_contents() == [
        "0.500",
        "1.00e+30",
        "1.00",
        "1.00",
    ]
    assert text(desk, "count").startswith("2 steps in")


def test_a_total_that_is_no_number_is_none(desk: Desk) -> None:
    output = desk.run(
        "from tabgrad.utils import progress\nwith progress.bar(total=float('inf')) as bar:\n"
        "    bar.update(3)\n    bar.log(loss=0.5)\n    bar.update(float('nan'))"
    )
    assert "update: n must be a number of steps, got nan" in output
    assert desk.page.locator(".chart output").all_text_contents() == ["0.500"]
    assert text(desk, "count").startswith("3 steps in")


def test_what_inner_bars_log_is_drawn(desk: Desk) -> None:
    desk.run(
        "from tabgrad.utils import progress\nwith progress.bar(total=3) as outer:\n"
        "    for epoch in range(3):\n        with progress.bar(total=4) as inner:\n"
        "            for step in range(4):\n                inner.update()\n"
        "                inner.log(loss=1 / (4 * epoch + step + 1))\n"
        "        outer.update()\n        outer.log(score=epoch)"
    )
    assert desk.page.locator(".chart output").all_text_contents() == ["0.0833", "2.00"]
    labels = [plot.get_attribute("aria-label") for plot in desk.page.locator(".plot").all()]
    assert labels == ["Curve of loss: 0.0833 at step 12", "Curve of score: 2.00 at step 3"]
    assert text(desk, "count").startswith("3 steps in")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "[float('nan')] * 10",
            "No prediction: the network answers with NaN, which is not a number",
        ),
        ("[0.1] * 9 + [float('inf')]", "No prediction: expected shares from 0 to 1, got Infinity"),
        ("[-3.0] + [0.1] * 9", "No prediction: expected shares from 0 to 1, got -3.00"),
        ("[0.5, 0.5]", "No prediction: expected ten shares, got 2 numbers"),
    ],
    ids=["nan", "inf", "logits", "two"],
)
def test_a_prediction_that_is_none_is_said(desk: Desk, answer: str, said: str) -> None:
    desk.run(
        f"from tabgrad.utils import progress\nprogress.publish(predict=lambda pixels: {answer})\n"
    )
    desk.draw([[(0.5, 0.1), (0.5, 0.9)]])
    desk.until("document.getElementById('verdict').textContent !== ''")
    assert text(desk, "verdict") == said
    assert "NaN" not in text(desk, "bars")


def test_an_error_of_a_prediction_is_said_in_a_line(desk: Desk) -> None:
    desk.run(
        "from tabgrad.utils import progress\n"
        "def predict(pixels):\n    raise ValueError('no such digit')\n"
        "progress.publish(predict=predict)\n"
    )
    desk.draw([[(0.5, 0.1), (0.5, 0.9)]])
    desk.until("document.getElementById('verdict').textContent !== ''")
    assert text(desk, "verdict") == "No prediction: ValueError: no such digit"


# -- floods and forgeries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nfrom pyodide.ffi import to_js\nemit = sys.modules['tabgrad_page'].emit\n"
        "while True:\n    emit(to_js([]))",
        "from pyodide.code import run_js\nimport sys\n"
        "run_js('(emit) => { for (;;) emit([]) }')(sys.modules['tabgrad_page'].emit)",
    ],
    ids=["python", "javascript"],
)
def test_a_flood_of_messages_ends_the_worker_and_not_the_page(desk: Desk, program: str) -> None:
    desk.write(program)
    desk.press()
    assert desk.draws()  # a new worker is being made meanwhile
    desk.until_output("The program flooded the page with messages. Python starts afresh.")
    desk.until_ready()
    assert desk.run("print('again')") == "again\n"


@pytest.mark.parametrize(
    "program",
    [
        "import sys\ni = 0\nwhile True:\n    print('out', i)\n    print('err', file=sys.stderr)\n    i += 1",
        "while True:\n    with progress.bar() as bar:\n        bar.update()\n        bar.log(a=1)",
        "with progress.bar() as bar:\n    while True:\n        bar.update()\n        bar.log(a=bar.n)",
        "while True:\n    progress.publish(f=print)",
    ],
    ids=["two-streams", "bars", "logs", "publish"],
)
def test_a_program_that_says_much_holds_nothing_up(desk: Desk, program: str) -> None:
    desk.write(f"from tabgrad.utils import progress\n{program}")
    desk.press()
    desk.until_stage("Running")
    assert desk.draws(frames=60, within=20_000)
    assert desk.stage == "Running…"
    desk.press()
    desk.until_stage("Stopped")
    desk.until_ready()
    assert desk.run("print('again')") == "again\n"


BETWEEN = """
import asyncio, signal
from functools import partial
from pyodide.ffi import run_sync

asyncio.get_running_loop().call_soon(partial(signal.raise_signal, signal.SIGINT))
run_sync(asyncio.sleep(0.1))
print("slept")
while True:
    pass
"""


def test_an_interrupt_between_steps_of_the_loop_waits_for_the_program(desk: Desk) -> None:
    """A step of the event loop that it ended would be missing, and its program never go on."""
    desk.write(BETWEEN)
    desk.press()
    desk.until_stage("Stopped")
    assert "afresh" not in desk.output
    assert "Error" not in desk.output


MALFORMED = [
    "null",
    "5",
    "[null]",
    "[{ event: 'start' }]",
    "[{ event: 'log', bar: 1, time: 1, n: 1, values: null }]",
    "[{ event: 'log', bar: 1, time: 1, n: 1, values: { a: 'b' } }]",
    "[{ event: 'update', bar: 1, time: NaN, n: 'x' }]",
    "[{ event: 'publish', names: [{}] }]",
    "[{ event: 'publish' }]",
    "new Array(1e6)",
    "{ length: 5 }",
    "new Map([[1, 2]])",
]


def test_messages_that_are_none_are_ignored(desk: Desk) -> None:
    lines = "".join(f"emit(run_js({f'({text})'!r}))\n" for text in MALFORMED)
    output = desk.run(
        "import sys\nfrom pyodide.code import run_js\nemit = sys.modules['tabgrad_page'].emit\n"
        f"{lines}print('ignored')"
    )
    assert output == "ignored\n"
    assert desk.stage.startswith("Finished")


THIEVES = """
import js
from pyodide.code import run_js

run_js('''
globalThis.stolen = [];
const keep = (where) => typeof where?.postMessage === "function" && stolen.push(where);
for (const proto of [MessagePort.prototype, DedicatedWorkerGlobalScope.prototype, self]) {
    const own = proto.postMessage;
    try { proto.postMessage = function (...all) { keep(this); return own?.apply(this, all); }; } catch {}
}
for (const name of ["data", "source", "ports"]) {
    const { get } = Object.getOwnPropertyDescriptor(MessageEvent.prototype, name);
    Object.defineProperty(MessageEvent.prototype, name, {
        get() { keep(this.target); keep(get.call(this)); return get.call(this); },
    });
}
for (const name of ["apply", "call", "bind"]) {
    const own = Function.prototype[name];
    Function.prototype[name] = new Proxy(own, {
        apply(target, self, all) { keep(all[0]); return Reflect.apply(target, self, all); },
    });
}
addEventListener("message", (event) => { keep(event.target); event.ports.forEach(keep); keep(event.source); });
''')
print("laid")
"""


def test_the_way_to_the_page_cannot_be_stolen(desk: Desk) -> None:
    assert desk.run(THIEVES) == "laid\n"
    output = desk.run(
        "from pyodide.code import run_js\nfrom tabgrad.utils import progress\nimport js\n"
        "with progress.bar(total=1) as bar:\n    bar.update()\n    bar.log(a=1)\n"
        "for way in run_js('[...new Set(stolen)]'):\n"
        '    try:\n        way.postMessage(js.JSON.parse(\'{"type":"failed","message":"forged"}\'))\n'
        "    except Exception as error:\n        pass\n"
        "import asyncio\nawait asyncio.sleep(0.2)\nprint('done')"
    )
    assert output.endswith("done\n")
    assert "forged" not in desk.output
    assert desk.stage.startswith("Finished")
    fresh(desk)


@pytest.mark.parametrize("program", ["js.self.close()", "js.close()", "js.postMessage('x')"])
def test_what_would_end_or_flood_is_not_there(desk: Desk, program: str) -> None:
    output = desk.run(f"import js\n{program}")
    assert "a program on this page has no network, no storage and no other worker" in output
    assert desk.stage == "Ended with an error"
    assert desk.run("print('again')") == "again\n"


def test_what_a_callback_throws_is_shown_and_ends_nothing(desk: Desk) -> None:
    output = desk.run(
        "import asyncio\nfrom pyodide.code import run_js\n"
        "run_js('''setTimeout(() => { throw new Error(\"late\") });\n"
        "Promise.reject(new Error(\"refused\"))''')\n"
        "await asyncio.sleep(0.2)\nprint('on')"
    )
    assert "late" in output
    assert "refused" in output
    assert output.endswith("on\n")


# -- what a run leaves behind ------------------------------------------------------------------------

CHANGES = {
    "dtype": ("tg.set_default_dtype(tg.float64)", "tg.get_default_dtype()"),
    "device": ("tg.set_default_device('cpu')", "tg.get_default_device()"),
    "grad": ("tg.set_grad_enabled(False)", "tg.is_grad_enabled()"),
    "inference": ("tg.inference_mode().__enter__()", "tg.is_inference_mode_enabled()"),
    "seed": ("tg.manual_seed(1); tg.rand(3)", "(tg.initial_seed(), tg.rand(3).tolist())"),
    "print": ("tg.set_printoptions(precision=1)", "tg.tensor([1.23456])"),
    "deterministic": (
        "tg.use_deterministic_algorithms(True, warn_only=True)",
        "(tg.are_deterministic_algorithms_enabled(), tg.get_deterministic_debug_mode())",
    ),
    "precision": ("tg.set_float32_matmul_precision('high')", "tg.get_float32_matmul_precision()"),
    "autocast": (
        "tg.set_autocast_enabled('webgpu', True); tg.set_autocast_dtype('cpu', tg.float16)",
        "(tg.is_autocast_enabled('webgpu'), tg.get_autocast_dtype('cpu'))",
    ),
    "anomaly": ("tg.autograd.set_detect_anomaly(True)", "tg.autograd.is_anomaly_enabled()"),
    "threads": (
        "tg.autograd.set_multithreading_enabled(False)",
        "tg.autograd.is_multithreading_enabled()",
    ),
    "device-block": ("tg.device('cpu').__enter__()", "tg.get_default_device()"),
    "warnings": (
        "import warnings; warnings.simplefilter('ignore'); tg.ones(1, dtype=tg.float64)",
        "(__import__('warnings').filters[0], tg.ones(1, dtype=tg.float64).dtype)",
    ),
    "streams": ("import sys, io; sys.stdout = io.StringIO()", "__import__('sys').stdout.name"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_begins_with_the_defaults(desk: Desk, name: str) -> None:
    change, asked = CHANGES[name]
    begin = f"import tabgrad as tg\nprint({asked})\nprint('--')\n{change}\n"
    before, _, changed = desk.run(f"{begin}print({asked})").partition("--\n")
    assert before
    assert name == "streams" or changed not in ("", before)
    # A program that ends in an error, or is left in the middle of a block, leaves no more behind.
    assert desk.run(f"{begin}1 / 0").partition("--\n")[0] == before
    assert desk.run(f"import tabgrad as tg\nprint({asked})") == before


HEAVY = {
    "tags": "'<a' * 900_000",
    "quoted": "'<p style=\"x: url(' + ' ' * 900_000 + '#a\">'",
    "uses": (
        "'<svg><defs><g id=\"u0\"><path d=\"M0 0h9\"/></g>' + ''.join(f'<g id=\"u{i + 1}\">' + "
        "f'<use href=\"#u{i}\"/>' * 8 + '</g>' for i in range(9)) + '</defs><use href=\"#u9\"/>'"
        ' + \'<use href="#u1" id="few"/></svg>\''
    ),
    "masks": (
        "'<svg>' + ''.join(f'<mask id=\"m{i + 1}\">' + f'<g mask=\"url(#m{i})\"><path d=\"M0 0h9v9\"/></g>' * 8"
        " + '</mask>' for i in range(9)) + '<g mask=\"url(#m9)\"><path d=\"M0 0h9v9\"/></g></svg>'"
    ),
}


def test_what_is_shown_as_html_never_holds_the_page_up(desk: Desk) -> None:
    for name, made in HEAVY.items():
        output = desk.run(
            "from tabgrad.utils import progress\nclass H:\n    def _repr_html_(self):\n"
            f"        return {made}\nprogress.show(H())\nprint('shown')"
        )
        assert output.endswith("shown\n"), name
        assert desk.draws(), name
        if name == "uses":
            few = desk.page.frame_locator("#output iframe").locator("#few")
            assert few.get_attribute("href") == "#u1"


# -- what a program does to Python itself -------------------------------------------------------------

UNSAID = """
class Odd(ValueError):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__

raise Odd
"""
CHANGED = {
    "str": (UNSAID, "Odd"),
    "stdout": ("import sys; sys.stdout = None; 1 / 0", "ZeroDivisionError"),
    "stderr": ("import sys; sys.stderr = None; 1 / 0", "ZeroDivisionError"),
    "closed": ("import sys; sys.stdout.close(); sys.stderr.close(); 1 / 0", "ZeroDivisionError"),
    "print": ("import builtins; builtins.print = None; 1 / 0", "ZeroDivisionError"),
    "len": ("import builtins; builtins.len = lambda x: 3; 1 / 0", "ZeroDivisionError"),
    "isinstance": ("import builtins; builtins.isinstance = None; 1 / 0", "ZeroDivisionError"),
    "hook": (
        "import sys; sys.excepthook = None; sys.displayhook = None; 1 / 0",
        "ZeroDivisionError",
    ),
    "deep": ("import sys; sys.setrecursionlimit(60); f = lambda: f(); f()", "RecursionError"),
    "repr": ("class Odd:\n    def __repr__(self): raise KeyError('mute')\nOdd()", "KeyError"),
    "repr-exits": (
        "class Odd:\n    def __repr__(self): raise GeneratorExit\nOdd()",
        "GeneratorExit",
    ),
    "quit": ("quit()", ""),
}


@pytest.mark.parametrize("name", CHANGED)
def test_python_goes_on_whatever_a_program_did_to_it(desk: Desk, name: str) -> None:
    desk.run("first = 1")
    program, said = CHANGED[name]
    output = desk.run(program)
    assert said in output
    assert "afresh" not in output
    asked = "print(len([1, 2]), isinstance(1, int))\nimport sys\nprint('to err', file=sys.stderr)\n"
    assert desk.run(f"{asked}print(repr(sys.stdin.read()))") == "2 True\nto err\n''\n"


def test_python_begins_afresh_where_a_program_removed_it(desk: Desk) -> None:
    desk.run("import fractions")  # whatever is not there yet comes
    desk.write("import shutil\nshutil.rmtree('/lib', ignore_errors=True)")
    desk.press()
    desk.until_output("The program has removed files of Python itself. Python starts afresh.")
    desk.until_ready()
    assert desk.run("import colorsys\nprint('again')") == "again\n"


# -- a device that is lost ---------------------------------------------------------------------------

LOSE = "tg.device('webgpu').backend.host._bridge.device.destroy()\n"
TRAIN = """
import tabgrad as tg
from tabgrad.utils import progress

tg.manual_seed(0)
model = tg.nn.Linear(64, 10)
optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
for step in range(20):
    loss = (model(tg.ones(4, 64)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == LOST:
        import asyncio
        LOSE
        await asyncio.sleep(0.1)
progress.publish(predict=lambda pixels: model(tg.tensor(pixels)).softmax(0).tolist())
print(loss.item())
"""


def test_a_device_lost_in_a_run_is_said_and_the_next_run_has_another(desk: Desk) -> None:
    whole = TRAIN.replace("LOST", "-1").replace("LOSE", "pass")
    expected = desk.run(whole, 60_000)
    assert not desk.page.locator("#lost").is_visible()
    desk.run(TRAIN.replace("LOST", "10").replace("LOSE", LOSE.strip()), 60_000)
    assert desk.stage == "Ended with an error"
    assert "DeviceLostError" in desk.output
    assert desk.page.locator("#lost").is_visible()
    assert "was lost" in text(desk, "lost-text")
    desk.write(whole)
    desk.page.locator("#go-on").click()
    desk.until_stage("Finished", 60_000)
    desk.page.wait_for_timeout(200)
    assert desk.output == expected
    assert not desk.page.locator("#lost").is_visible()


def test_a_device_lost_after_a_run_is_said_when_it_is_drawn(desk: Desk) -> None:
    program = TRAIN.replace("LOST", "-1").replace("LOSE", "pass")
    desk.run(f"{program}\n{LOSE}", 60_000)
    desk.draw([[(0.5, 0.1), (0.5, 0.9)]])
    desk.until("!document.getElementById('lost').hidden")
    assert "lost" in text(desk, "pad-hint")
    desk.page.locator("#go-on").click()
    desk.until_stage("Finished", 60_000)
    assert not desk.page.locator("#lost").is_visible()
