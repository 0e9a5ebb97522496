"""Tiny random classifiers in the formats that real ones have."""

from __future__ import annotations

from pathlib import Path

LABELS = ("clean", "toxicity", "insult")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS),
          "you", "idiot", "fine", "day")  # fmt: skip


def save_classifier(folder: Path, **settings: object) -> Path:
    """A BERT of two layers with its tokenizer, as `save_pretrained` leaves them; its scores vary from text to text."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(_WORDS))
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: n for n, name in enumerate(LABELS)}}
    options = {"initializer_range": 0.5, **names, **settings}
    config = BertConfig(vocab_size=len(_WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=64, max_position_embeddings=64, **options)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def save_detoxify(folder: Path) -> tuple[Path, Path]:
    """The same model as a checkpoint in detoxify's format; returns the checkpoint and its configuration's folder."""
    import torch
    from transformers import BertForSequenceClassification

    base = save_classifier(folder / "base")
    model = BertForSequenceClassification.from_pretrained(base)
    (base / "model.safetensors").unlink()
    state = {**model.state_dict(), "bert.embeddings.position_ids": torch.arange(64)[None]}  # as old checkpoints have it
    arch = {"model_type": "bert-base-uncased", "model_name": "BertForSequenceClassification",
            "tokenizer_name": "BertTokenizer", "num_classes": 3}  # fmt: skip
    classes = ["toxic", "severe_toxic", "insult"]
    torch.save({"config": {"dataset": {"args": {"classes": classes}}, "arch": {"args": arch}}, "state_dict": state},
               folder / "tiny.ckpt")  # fmt: skip
    return folder / "tiny.ckpt", base


def save_decoder(folder: Path, of_model: int | None, of_tokenizer: str | None) -> Path:
    """A GPT-2 classifier, whose padding token the model, the tokenizer or nobody names."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

    words = ["[UNK]", "<eos>", "you", "idiot", "a", "fine", "day"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": of_tokenizer} if of_tokenizer else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="<eos>", **named).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    names = {"id2label": {0: "clean", 1: "toxicity"}, "label2id": {"clean": 0, "toxicity": 1}}
    config = GPT2Config(vocab_size=len(words), n_positions=64, n_embd=32, n_layer=2, n_head=2, pad_token_id=of_model,
                        bos_token_id=1, eos_token_id=1, initializer_range=0.5, **names)  # fmt: skip
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    return folder
