"""What programs do with models of `transformers`: load, save, generate, checkpoint gradients, train.

`python -m tests.huggingface.programs --device cpu` prints what they give as JSON; with `--pytorch` `torch` is
PyTorch, and the answers are written to `expected_programs.json`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.huggingface.architectures import ARCHITECTURES, made

EXPECTED = pathlib.Path(__file__).with_name("expected_programs.json")
DECODERS = ("GPT2LMHeadModel", "LlamaForCausalLM", "MixtralForCausalLM", "Gemma2ForCausalLM")
MODELS = (*DECODERS, "T5ForConditionalGeneration", "BartForConditionalGeneration", "MambaForCausalLM",
          "WhisperForConditionalGeneration")  # fmt: skip


def loaded(name: str, folder: pathlib.Path, device: str, **more: Any) -> Any:
    """Return the model from the files of a model that was made, without dropout."""
    import torch
    import transformers

    if not (folder / name).exists():
        made(name, "cpu").save_pretrained(folder / name)
    model = getattr(transformers, name).from_pretrained(folder / name, **more).to(device)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model


def saved(name: str, folder: pathlib.Path, device: str) -> bool:
    """Whether the files are equal in their tensors once the model was loaded and saved."""
    from safetensors.numpy import load_file

    loaded(name, folder, device).save_pretrained(folder / "again")
    one, two = (load_file(folder / at / "model.safetensors") for at in (name, "again"))
    fresh = dict(made(name, "cpu").state_dict())
    assert all(one[k].tobytes() == fresh[k].numpy().tobytes() for k in one if k in fresh)
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)


def generated(name: str, folder: pathlib.Path, device: str, **how: Any) -> list[list[int]]:
    """Return the tokens that a model generates."""
    import torch

    rng, model = np.random.default_rng(0), loaded(name, folder, device).eval()
    given: Any = rng.integers(3, 60, (2, 5))
    if ARCHITECTURES[name][0] == "frames":
        given = rng.normal(size=(2, 6, 16)).astype("float32")
    pad = {} if ARCHITECTURES[name][0] == "frames" else {"pad_token_id": 0}
    out = model.generate(
        torch.from_numpy(given).to(device), max_new_tokens=6, eos_token_id=None, **pad, **how
    )
    return list(out.shape) if how.get("do_sample") else out.cpu().tolist()


def checkpointed(name: str, folder: pathlib.Path, device: str) -> list[float]:
    """Return the loss and sizes of gradients where activations are computed again in backward."""
    import torch

    model = loaded(name, folder, device).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids = torch.arange(3, 11, device=device)[None]
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return [float(loss), *[float(p.grad.norm()) for p in model.parameters()]]


def trained(folder: pathlib.Path, device: str) -> list[list[float]]:
    """Return the losses of three steps of a Trainer, and of four that begin at its checkpoint."""
    import transformers
    from torch.utils.data import SequentialSampler

    class InOrder(transformers.Trainer):  # type: ignore[name-defined,misc]
        def _get_train_sampler(self, *given: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    rows = [list(range(3 + i, 11 + i)) for i in range(12)]
    data = [{"input_ids": row, "labels": row} for row in rows]
    options = transformers.TrainingArguments(
        output_dir=str(folder / "run"), max_steps=3, per_device_train_batch_size=4, learning_rate=1e-2,
        report_to=[], logging_steps=1, save_steps=2, disable_tqdm=True, use_cpu=device == "cpu",
    )  # fmt: skip
    found = []
    for steps, start in ((3, None), (4, str(folder / "run" / "checkpoint-2"))):
        options.max_steps = steps
        model = loaded("GPT2LMHeadModel", folder, "cpu")
        trainer = InOrder(model=model, args=options, train_dataset=data)
        trainer.train(resume_from_checkpoint=start)
        found.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
    return found


def programs() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield each program with its name; it takes a folder and a device."""
    for name in MODELS:
        yield f"{name} saved", partial(saved, name)
        yield f"{name} greedy", partial(generated, name, do_sample=False)
        yield f"{name} without cache", partial(generated, name, do_sample=False, use_cache=False)
        yield f"{name} sampled", partial(generated, name, do_sample=True, top_k=9, top_p=0.9)
        if "Mamba" not in name:
            yield f"{name} beams", partial(generated, name, do_sample=False, num_beams=3)
        if name in DECODERS:
            static = {"cache_implementation": "static"}
            yield f"{name} static cache", partial(generated, name, do_sample=False, **static)
    for name in ("GPT2LMHeadModel", "LlamaForCausalLM", "BertForMaskedLM"):
        yield f"{name} checkpointed", partial(checkpointed, name)
    yield "trained", trained


def main() -> None:
    """Run all programs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pytorch", action="store_true")
    args = parser.parse_args()
    if not args.pytorch:
        import tabgrad

        tabgrad.as_torch()
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, program in programs():
            try:
                found[name] = program(folder=pathlib.Path(folder), device=args.device)
            except Exception:
                found[name] = traceback.format_exc(limit=-2)
    if args.pytorch:
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
        EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
