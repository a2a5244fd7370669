"""Share and keep: a program in a link, as files, after a reload; weights as a file."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, Page

from tests.web.desk import Desk
from tests.web.neighbours import FORGETS


@pytest.fixture
def own(page: Page, site_url: str) -> Desk:
    """A page whose browser keeps nothing yet."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return Desk(page, site_url)


@pytest.fixture
def loading(page: Page, site_url: str) -> Desk:
    """Such a page whose Python is still to come, and never does, for what needs none."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.context.route("**/python/*", lambda route: None)
    return Desk(page, site_url)


def text(desk: Desk) -> str:
    return desk.page.locator(".cm-content").inner_text()


def link(desk: Desk) -> tuple[str, str]:
    """What is copied as a link to the program that is shown, and what the page says."""
    desk.page.locator("#menu summary").click()
    desk.page.locator("#copy-link").click()
    desk.until("document.getElementById('menu-told').textContent !== ''")
    url: str = desk.page.evaluate("navigator.clipboard.readText()")
    told = desk.page.locator("#menu-told").text_content() or ""
    desk.page.keyboard.press("Escape")
    return url, told


def test_a_link_holds_the_program_and_is_shown_before_it_runs(own: Desk, browser: Browser) -> None:
    own.until_ready()
    own.write(
        "import random\nimport numpy as np\nimport tabgrad as tg\n"
        "print('ran é✓', tg.rand(2).tolist(), random.random(), np.random.rand(), tg.ones(1).device)"
    )
    own.page.locator("#menu summary").click()
    own.page.locator("#seed").fill("7")
    own.page.locator("#seed").press("Tab")
    own.page.locator("#device-choice").select_option("cpu")
    own.page.keyboard.press("Escape")
    url, told = link(own)
    assert told.startswith("Copied.")
    assert "#program=" in url
    assert len(url) < 400
    with browser.new_context() as context:
        other = Desk(context.new_page(), url)
        other.until_ready()
        other.page.wait_for_timeout(500)
        assert "ran é✓" in text(other)
        assert other.output == ""
        assert "came with the link" in (other.page.locator("#shared").text_content() or "")
        chosen = other.page.locator("#program option:checked")
        assert chosen.text_content() == "From a link: my_digits.py"
        assert other.page.locator("#name-shown").text_content() == "my_digits.py"
        seen = []
        for _ in range(2):
            other.press()
            other.until_stage("Finished", 60_000)
            other.until_output("ran é✓")
            seen.append(other.output)
        assert seen[0] == seen[1]
        assert "cpu" in seen[0]
        # what is made of it stays, and so does the program itself
        other.write("print('mine now')")
        other.page.route("**/python/*", lambda route: None)  # which this needs no more
        other.page.goto(other.page.url)
        other.page.reload()
        assert text(other) == "print('mine now')"
        other.page.locator("#reset").click()
        assert "ran é✓" in text(other)
        other.page.locator(".cm-content").press("Control+z")
        assert text(other) == "print('mine now')"


def test_two_tabs_keep_what_is_made_in_both(loading: Desk) -> None:
    loading.page.locator("#program").select_option(label="A race downhill")
    second = Desk(loading.page.context.new_page(), loading.page.url)
    loading.page.locator("#program").select_option(label="Two spirals")
    loading.write("print('first tab')")
    second.write("print('second tab')")
    assert not second.page.locator("#shared").is_visible()
    third = Desk(loading.page.context.new_page(), loading.page.url)
    assert text(third) == "print('second tab')"
    third.page.locator("#program").select_option(label="Two spirals")
    assert text(third) == "print('first tab')"
    # the same program in two of them: the last edit stays, and both are told
    third.write("print('third tab')")
    loading.until("!document.getElementById('shared').hidden")
    assert "another tab" in (loading.page.locator("#shared").text_content() or "")


def test_links_do_not_take_each_others_place(loading: Desk) -> None:
    def made(source: str) -> str:
        url: str = loading.page.evaluate(
            """async (source) => {
                const text = JSON.stringify({ name: "lesson.py", source });
                const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
                const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
                const letters = btoa(String.fromCharCode(...bytes));
                return `#program=${letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
            }""",
            source,
        )
        return url

    one, two = made("print('one')"), made("print('two')")
    loading.page.evaluate("(hash) => { location.hash = hash }", one)
    loading.until("document.querySelector('.cm-content').textContent.includes('one')")
    loading.write("print('long work')")
    loading.page.evaluate("(hash) => { location.hash = hash }", two)
    loading.until("document.querySelector('.cm-content').textContent.includes('two')")
    loading.page.reload()
    assert text(loading) == "print('two')"
    loading.page.evaluate("(hash) => { location.hash = hash }", one)
    loading.until("document.querySelector('.cm-content').textContent.includes('long work')")
    assert "you have edited it" in (loading.page.locator("#shared").text_content() or "")
    assert loading.page.locator("#program option").filter(has_text="From a link").count() == 2
    loading.page.locator("#reset").click()
    assert text(loading) == "print('one')"


def test_what_an_earlier_version_kept_is_taken_over(loading: Desk) -> None:
    draft = '{"name": "my_spirals.py", "source": "print(1)", "seed": null, "device": "auto"}'
    loading.page.evaluate(
        "(kept) => { localStorage.clear(); localStorage.setItem('tabgrad.programs', kept) }",
        f'{{"drafts": {{"spirals.py": {draft}}}, "shared": {draft}, "last": "spirals.py"}}',
    )
    loading.page.reload()
    assert text(loading) == "print(1)"
    loading.page.locator("#program").select_option(label="From a link: my_spirals.py")
    assert text(loading) == "print(1)"


@pytest.mark.parametrize(
    "fragment",
    [
        "#program=",
        "#program=AAAA",
        "#program=q1YqU7JSMlTSUcpLzE1VslIqKMpPVqoFAA",
        "#program=" + "A" * 40_000,
    ],
)
def test_a_link_without_a_whole_program_says_so(loading: Desk, fragment: str) -> None:
    before = text(loading)
    loading.page.evaluate("(hash) => { location.hash = hash }", fragment)
    loading.until("!document.getElementById('shared').hidden")
    assert "The link" in (loading.page.locator("#shared").text_content() or "")
    assert text(loading) == before


def test_what_unpacks_to_too_much_is_no_program(loading: Desk) -> None:
    loading.page.evaluate(
        """async () => {
            const text = JSON.stringify({ name: 'a.py', source: ' '.repeat(5e6) });
            const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('deflate-raw'));
            const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
            const letters = btoa(String.fromCharCode(...bytes));
            location.hash = `#program=${letters.replaceAll('+', '-').replaceAll('/', '_')}`;
        }"""
    )
    loading.until("!document.getElementById('shared').hidden")
    assert "no whole program" in (loading.page.locator("#shared").text_content() or "")


def test_a_program_that_is_too_long_has_no_link(loading: Desk) -> None:
    loading.page.evaluate("navigator.clipboard.writeText('before')")
    loading.write("x = '" + "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(30_000)) + "'")
    url, told = link(loading)
    assert url == "before"
    assert "too long for a link" in told


def test_what_is_typed_as_the_menu_opens_stays(loading: Desk) -> None:
    loading.write("x = 1")
    typed = loading.page.evaluate(
        """async () => {
            const name = document.getElementById('file-name');
            document.querySelector('#menu summary').click();
            const shown = name.value;
            name.value = 'lesson.py';
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
            return [shown, name.value];
        }"""
    )
    assert typed == ["my_digits.py", "lesson.py"]


def test_the_program_can_be_kept_as_a_script_and_a_notebook(own: Desk) -> None:
    own.write("x = 1\nprint(x)")
    own.page.locator("#menu summary").click()
    own.page.locator("#file-name").fill("../my lesson!.py")
    own.page.locator("#file-name").press("Tab")
    with own.page.expect_download() as made:
        own.page.locator("#save-script").click()
    assert made.value.suggested_filename == "my lesson.py"
    assert made.value.path().read_text() == "x = 1\nprint(x)"
    with own.page.expect_download() as made:
        own.page.locator("#save-notebook").click()
    assert made.value.suggested_filename == "my lesson.ipynb"
    notebook = json.loads(made.value.path().read_text())
    assert notebook["nbformat"] == 4
    assert notebook["cells"][1]["source"] == ["x = 1\n", "print(x)"]
    # with its seed and device, as it runs here
    own.page.locator("#seed").fill("7")
    own.page.locator("#seed").press("Tab")
    own.page.locator("#device-choice").select_option("cpu")
    with own.page.expect_download() as made:
        own.page.locator("#save-script").click()
    assert made.value.path().read_text() == (
        "import random; random.seed(7)\nimport tabgrad; tabgrad.manual_seed(7)\n"
        'import tabgrad; tabgrad.set_default_device("cpu")\nx = 1\nprint(x)'
    )
    own.page.keyboard.press("Escape")
    own.until_ready()
    assert own.page.locator("#device-name").text_content() == "cpu: processor, as chosen"
    own.press()
    own.until_output("1")
    assert own.page.locator("#name-shown").text_content() == "my lesson.py"


def test_what_a_model_has_learned_can_be_kept(own: Desk) -> None:
    own.until_ready()
    own.run(
        "import tabgrad as tg\nfrom tabgrad import nn\nfrom tabgrad.utils import progress\n"
        "net = nn.Linear(2, 1)\nwith tg.no_grad():\n    net.weight.copy_(tg.tensor([[1.0, 2.0]]))\n"
        "progress.publish(net=net, predict=lambda pixels: [0.1] * 10)\n",
        60_000,
    )
    buttons = own.page.locator("#weights button")
    assert buttons.all_text_contents() == ["Save net.safetensors"]
    with own.page.expect_download() as made:
        buttons.click()
    assert made.value.suggested_filename == "net.safetensors"
    data = made.value.path().read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert header["weight"]["shape"] == [1, 2]
    start, end = header["weight"]["data_offsets"]
    assert data[8 + size :][start:end] == b"\0\0\x80\x3f\0\0\0\x40"
    own.run("print(1)")
    assert buttons.count() == 0


def test_what_the_browser_does_not_keep_is_said(loading: Desk) -> None:
    shared = loading.page.locator("#shared")
    loading.write("x = 1")
    assert not shared.is_visible()
    loading.write("x = 1 #" + "a" * 200_000)
    shared.wait_for()
    assert "keeps programs of at most 200,000 characters" in (shared.text_content() or "")
    loading.write("x = 2")
    shared.wait_for(state="hidden")


def test_a_reload_keeps_edits(loading: Desk) -> None:
    loading.write("print('kept')")
    loading.page.locator("#program").select_option(label="Two spirals")
    loading.write("print('kept too')")
    loading.page.reload()
    assert text(loading) == "print('kept too')"
    loading.page.locator("#program").select_option(label="Handwritten digits")
    assert text(loading) == "print('kept')"
    loading.page.locator("#reset").click()
    loading.page.reload()
    assert "Train a small" in text(loading)


@pytest.fixture
def forgetful(page: Page, site_url: str) -> Desk:
    """A page in a browser that keeps nothing."""
    page.add_init_script(FORGETS)
    return Desk(page, site_url)


def test_without_storage_all_else_works(forgetful: Desk) -> None:
    forgetful.until_ready()
    assert forgetful.run("print('works')") == "works\n"


def test_what_is_kept_by_something_else_is_left_out(loading: Desk) -> None:
    for odd in ('"text"', "[1]", '{"drafts": {"digits.py": {"source": 3}}, "last": {}}', "{{"):
        loading.page.evaluate("(odd) => localStorage.setItem('tabgrad.programs', odd)", odd)
        loading.page.reload()
        assert "Train a small" in text(loading), odd
