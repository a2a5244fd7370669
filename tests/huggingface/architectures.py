"""Architectures of `transformers` in tiny configurations, with weights and inputs that any machine makes again.

Whoever imports this decides before what `torch` is: PyTorch, or tabgrad by `as_torch()`.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from typing import Any

import numpy as np

VOCABULARY = 60
SMALL = dict(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=40, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
PAIR = dict(
    vocab_size=VOCABULARY, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=40,
    bos_token_id=1, eos_token_id=2, pad_token_id=0, decoder_start_token_id=2, forced_eos_token_id=None,
)  # fmt: skip
IMAGE = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16,
    patch_size=4, num_labels=3,
)  # fmt: skip
GROUPED = dict(num_key_value_heads=1)
EXPERTS = dict(
    num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=12,
    shared_expert_intermediate_size=12,
)  # fmt: skip
STAGES = dict(
    embed_dim=8,
    depths=[1, 1],
    num_heads=[2, 2],
    window_size=2,
    image_size=16,
    patch_size=2,
    num_labels=3,
)
CONVOLUTIONS = dict(
    num_labels=3, hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8, num_stages=2
)
SOUND = dict(
    SMALL, conv_dim=(8, 8), conv_stride=(4, 4), conv_kernel=(8, 4), num_feat_extract_layers=2,
    num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, mask_time_prob=0.0, do_stable_layer_norm=False,
)  # fmt: skip
BOTH = dict(
    text_config=dict(SMALL, projection_dim=8),
    vision_config=dict(IMAGE, projection_dim=8),
    projection_dim=8,
)

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "AlbertForMaskedLM": ("ids", dict(SMALL, embedding_size=8)),
    "BartForConditionalGeneration": ("pairs", PAIR),
    "BeitForImageClassification": ("images", IMAGE),
    "BertForMaskedLM": ("ids", SMALL),
    "BigBirdForMaskedLM": ("ids", dict(SMALL, attention_type="original_full")),
    "BioGptForCausalLM": ("ids", SMALL),
    "BlenderbotForConditionalGeneration": ("pairs", PAIR),
    "BloomForCausalLM": ("ids", dict(SMALL, n_layer=2, n_head=2)),
    "CLIPModel": ("both", BOTH),
    "CodeGenForCausalLM": ("ids", dict(SMALL, n_embd=16, n_layer=2, n_head=4, rotary_dim=4, n_positions=40)),
    "CohereForCausalLM": ("ids", dict(SMALL, **GROUPED)),
    "ConvBertForMaskedLM": ("ids", dict(SMALL, embedding_size=16, head_ratio=1)),
    "ConvNextForImageClassification": ("images", CONVOLUTIONS),
    "DebertaV2ForMaskedLM": (
        "ids", dict(SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=4),
    ),
    "DeiTForImageClassification": ("images", IMAGE),
    "Dinov2ForImageClassification": ("images", IMAGE),
    "DistilBertForMaskedLM": ("ids", dict(SMALL, dim=16, n_layers=2, n_heads=2, hidden_dim=24)),
    "ElectraForMaskedLM": ("ids", dict(SMALL, embedding_size=8)),
    "FNetForMaskedLM": ("ids", SMALL),
    "FalconForCausalLM": ("ids", SMALL),
    "GPT2LMHeadModel": ("ids", dict(SMALL, n_embd=16, n_layer=2, n_head=2, n_positions=40)),
    "GPTJForCausalLM": ("ids", dict(SMALL, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=40)),
    "GPTNeoForCausalLM": (
        "ids",
        dict(SMALL, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], window_size=4),
    ),
    "GPTNeoXForCausalLM": ("ids", SMALL),
    "Gemma2ForCausalLM": ("ids", dict(SMALL, **GROUPED, head_dim=8, sliding_window=4)),
    "GemmaForCausalLM": ("ids", dict(SMALL, **GROUPED, head_dim=8)),
    "GraniteForCausalLM": ("ids", dict(SMALL, **GROUPED)),
    "HubertForCTC": ("sounds", SOUND),
    "LlamaForCausalLM": ("ids", dict(SMALL, **GROUPED)),
    "MBartForConditionalGeneration": ("pairs", PAIR),
    "MPNetForMaskedLM": ("ids", SMALL),
    "Mamba2ForCausalLM": (
        "ids", dict(SMALL, state_size=4, num_heads=4, head_dim=8, n_groups=1, chunk_size=4),
    ),
    "MambaForCausalLM": ("ids", dict(SMALL, state_size=4)),
    "MarianMTModel": ("pairs", PAIR),
    "MistralForCausalLM": ("ids", dict(SMALL, **GROUPED, sliding_window=4)),
    "MixtralForCausalLM": ("ids", dict(SMALL, **GROUPED, **EXPERTS)),
    "MobileNetV2ForImageClassification": ("images", dict(num_labels=3, depth_multiplier=0.25, min_depth=8)),
    "ModernBertForMaskedLM": ("ids", dict(SMALL, local_attention=4, cls_token_id=1, sep_token_id=2)),
    "OPTForCausalLM": ("ids", dict(SMALL, ffn_dim=24, word_embed_proj_dim=16)),
    "OlmoForCausalLM": ("ids", SMALL),
    "PegasusForConditionalGeneration": ("pairs", PAIR),
    "Phi3ForCausalLM": ("ids", SMALL),
    "PhiForCausalLM": ("ids", SMALL),
    "PoolFormerForImageClassification": (
        "images",
        dict(num_labels=3, hidden_sizes=[8, 16], depths=[1, 1], patch_sizes=[3, 3], strides=[2, 2],
             padding=[1, 1], num_encoder_blocks=2, drop_path_rate=0.0),
    ),
    "Qwen2ForCausalLM": ("ids", dict(SMALL, **GROUPED)),
    "Qwen2MoeForCausalLM": ("ids", dict(SMALL, **GROUPED, **EXPERTS)),
    "Qwen3ForCausalLM": ("ids", dict(SMALL, **GROUPED, head_dim=8)),
    "RegNetForImageClassification": ("images", dict(CONVOLUTIONS, groups_width=4, layer_type="y")),
    "ResNetForImageClassification": ("images", CONVOLUTIONS),
    "RobertaForMaskedLM": ("ids", SMALL),
    "SegformerForSemanticSegmentation": (
        "masks",
        dict(num_labels=3, num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
             patch_sizes=[3, 3], strides=[2, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
             decoder_hidden_size=8),
    ),
    "Starcoder2ForCausalLM": ("ids", dict(SMALL, **GROUPED)),
    "SwinForImageClassification": ("images", STAGES),
    "T5ForConditionalGeneration": (
        "pairs",
        dict(vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, pad_token_id=0,
             eos_token_id=2, decoder_start_token_id=0, relative_attention_num_buckets=8),
    ),
    "ViTForImageClassification": ("images", IMAGE),
    "Wav2Vec2ForCTC": ("sounds", SOUND),
    "WhisperForConditionalGeneration": (
        "frames", dict(PAIR, num_mel_bins=6, max_source_positions=8, max_target_positions=16),
    ),
    "XLMRobertaForMaskedLM": ("ids", SMALL),
}  # fmt: skip
"""The kind of inputs and the configuration of each."""


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def made(name: str, device: str) -> Any:
    """Return a model whose parameters depend on their names only."""
    import torch
    import transformers

    logging.getLogger("transformers").setLevel(logging.ERROR)
    kind = getattr(transformers, name)
    config = kind.config_class(**ARCHITECTURES[name][1])
    model = kind(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            value = np.asarray(_random(key).normal(0.0, 0.2, tuple(p.shape)), "float32")
            centre = 1.0 if p.ndim == 1 and key.endswith("weight") else 0.0
            p.copy_(torch.from_numpy(value) + centre)
    return model.to(device)


def inputs_of(name: str, device: str) -> dict[str, Any]:
    """Return the arguments of the model, labels among them."""
    import torch

    rng, kind = _random(name), ARCHITECTURES[name][0]
    ids = rng.integers(3, VOCABULARY, (2, 12))
    images = rng.normal(size=(2, 3, 16, 16)).astype("float32")
    given: dict[str, Any]
    if kind == "ids":
        seen = np.ones_like(ids)
        seen[1, -3:] = 0
        given = {"input_ids": ids, "labels": ids, "attention_mask": seen}
    elif kind == "pairs":
        given = {"input_ids": ids, "labels": rng.integers(3, VOCABULARY, (2, 7))}
    elif kind == "images":
        given = {"pixel_values": images, "labels": np.array([0, 2])}
    elif kind == "masks":
        given = {"pixel_values": images, "labels": rng.integers(0, 3, (2, 16, 16))}
    elif kind == "both":
        ids[:, -1] = 2
        given = {"input_ids": ids, "pixel_values": images, "return_loss": True}
    elif kind == "sounds":
        given = {"input_values": rng.normal(size=(2, 320)).astype("float32"), "labels": ids[:, :4]}
    else:
        frames = rng.normal(size=(2, 6, 16)).astype("float32")
        given = {"input_features": frames, "labels": rng.integers(3, VOCABULARY, (2, 7))}
    return {
        k: torch.from_numpy(v).to(device) if isinstance(v, np.ndarray) else v
        for k, v in given.items()
    }


def computed(name: str, device: str) -> dict[str, Any]:
    """Return the loss, the logits and the gradient of each parameter, as arrays."""
    warnings.simplefilter("ignore")
    model = made(name, device)
    out = model(**inputs_of(name, device))
    out.loss.backward()
    logits = out.logits_per_image if name == "CLIPModel" else out.logits
    found = {"loss": out.loss, "logits": logits}
    found.update({f"grad {k}": p.grad for k, p in model.named_parameters() if p.grad is not None})
    return {k: v.detach().cpu().numpy() for k, v in found.items()}


def digest(arrays: dict[str, Any]) -> dict[str, float]:
    """Return a number for each array: its product with a fixed vector, of about the size of its elements."""
    made = {}
    for key, array in arrays.items():
        row = _random(key).normal(size=array.size) / max(1, array.size) ** 0.5
        made[key] = float(f"{row @ array.astype('float64').ravel():.7g}")
    return made
