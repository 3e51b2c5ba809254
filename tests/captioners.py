"""Tiny captioning models of random weights, as the folders that people download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TAGS = (("general", 9), ("1girl", 0), ("long_hair", 0), ("o_o", 0), ("miku_(voca)", 4), ("blue_sky", 0))


def make_tagger(folder: Path, colours: tuple[float, ...] = (0, 0.9, 0.5, 0.4, 0.86, 0.1), first: bool = False) -> Path:
    """An ONNX tagger whose confidence of each tag is a constant, plus 0.0003 times the mean blue (the first channel)
    for `blue_sky` alone: so that what reaches the model can be read from what it says. 16 px; `first`: NCHW."""
    import onnx
    from onnx import TensorProto, helper

    folder.mkdir(parents=True, exist_ok=True)
    shape = ["n", 3, 16, 16] if first else ["n", 16, 16, 3]
    count = len(TAGS)
    weight = [0.0] * (3 * count)
    weight[count - 1] = 0.003
    axes = [2, 3] if first else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["tags"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("tags", TensorProto.FLOAT, ["n", count])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, [3, count], weight),
            helper.make_tensor("bias", TensorProto.FLOAT, [count], list(colours)),
            helper.make_tensor("axes", TensorProto.INT64, [2], axes),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, str(folder / "model.onnx"))
    rows = [f"{number},{name},{category},{100 - number}" for number, (name, category) in enumerate(TAGS)]
    (folder / "selected_tags.csv").write_text("\n".join(["tag_id,name,category,count", *rows]), encoding="utf-8")
    return folder


def _tokenizer(**more: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    words = [*special, *(chr(number) for number in range(33, 127)), "red", "cat", "table", "what", "does", "the"]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names, **more)


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
MARKS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}


def make_git(folder: Path) -> Path:
    import torch
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    words = _tokenizer()
    torch.manual_seed(0)
    vision = {**SMALL, "image_size": 32, "patch_size": 16}
    GitForCausalLM(GitConfig(vision_config=vision, vocab_size=len(words), **SMALL, **MARKS)).save_pretrained(folder)
    square = {"height": 32, "width": 32}
    GitProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square), words).save_pretrained(folder)
    return folder


def make_blip2(folder: Path) -> Path:
    import torch
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    words = _tokenizer()
    torch.manual_seed(0)
    text = {
        "model_type": "opt",
        "vocab_size": len(words),
        "hidden_size": 16,
        "ffn_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 16,
        "max_position_embeddings": 64,
        **MARKS,
    }
    config = Blip2Config(
        vision_config={**SMALL, "image_size": 32, "patch_size": 16},
        qformer_config={**SMALL, "vocab_size": len(words), "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=2,
        image_token_index=4,
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    pixels = BlipImageProcessor(size={"height": 32, "width": 32})
    Blip2Processor(pixels, words, num_query_tokens=2).save_pretrained(folder)
    return folder


def make_florence(folder: Path) -> Path:
    import torch
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    words = _tokenizer(extra_special_tokens={"image_token": "<image>"})
    torch.manual_seed(0)
    vision = {
        "embed_dim": (8, 8, 8, 8),
        "num_heads": (1, 1, 1, 1),
        "num_groups": (1, 1, 1, 1),
        "depths": (1, 1, 1, 1),
        "window_size": 2,
        "projection_dim": 16,
    }
    text = {
        "model_type": "bart",
        "vocab_size": len(words),
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 128,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
        **MARKS,
    }
    config = Florence2Config(vision_config=vision, text_config=text, image_token_id=4, **MARKS)
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    square = {"height": 64, "width": 64}
    pixels = CLIPImageProcessor(size=square, crop_size=square)
    pixels.image_seq_length = 5  # 2 x 2 patches and their mean
    Florence2Processor(pixels, words).save_pretrained(folder)
    return folder
