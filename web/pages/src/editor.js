/** The Python editor. */

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { afterHead } from "./head.js";

// Colours come from the style sheet, so that light and dark need nothing here.
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.lineComment, tags.comment], color: "var(--code-comment)" },
  {
    tag: [tags.function(tags.definition(tags.variableName)), tags.definition(tags.className)],
    color: "var(--code-name)",
  },
  { tag: [tags.className, tags.typeName], color: "var(--code-name)" },
  { tag: tags.meta, color: "var(--code-keyword)" },
]);

/**
 * @param {HTMLElement} parent @param {string} text
 * @param {{ run(): void, changed(): void }} listener `run` is what Control-Enter does
 */
export function createEditor(parent, text, { run, changed }) {
  const start = () => {
    run();
    return true;
  };
  const extensions = [
    lineNumbers(),
    highlightActiveLineGutter(),
    highlightActiveLine(),
    history(),
    drawSelection(),
    indentOnInput(),
    indentUnit.of("    "),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ activateOnTyping: false }),
    python(),
    syntaxHighlighting(colours),
    EditorView.contentAttributes.of({
      "aria-label": "Python program. Control-Enter runs it; Escape, then Tab leaves the editor.",
      spellcheck: "false",
      autocapitalize: "off",
    }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) changed();
    }),
    keymap.of([
      { key: "Mod-Enter", run: start },
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...historyKeymap,
      indentWithTab,
    ]),
  ];
  const state = (/** @type {string} */ doc) => EditorState.create({ doc, extensions });
  const view = new EditorView({ parent, state: state(text) });
  return {
    text: () => view.state.doc.toString(),
    /** Begin afresh with another text. @param {string} doc */
    show: (doc) => view.setState(state(doc)),
    /** Put another text in the place of all; it can be undone. @param {string} doc */
    replace: (doc) =>
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: doc } }),
    /** Put a line before the first that is neither a comment nor a docstring. @param {string} line */
    put: (line) => {
      const { at, before, newline } = afterHead(view.state.doc.toString());
      view.dispatch({ changes: { from: at, insert: `${before}${line}${newline}` } });
    },
  };
}
