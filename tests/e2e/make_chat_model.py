"""A chat model of a few MB with random weights: make_chat_model.py FOLDER...

Runs with the engine's own interpreter, which has torch and transformers. Each folder gets another
model, the same in every run. What it says means nothing; how it is packed, fetched, served and
streamed is real.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

TEXT = [
    "a waybill travels with the goods and says what is shipped and where it goes",
    "pack once, verify everywhere, pin exactly, serve with care",
]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(TEXT, trainer)
    outer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=SPECIAL[0])
    outer.chat_template = TEMPLATE
    return outer


def main(seed: int, folder: Path) -> None:
    torch.manual_seed(seed)
    words = tokenizer()
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        # 64 per head: the engine's CPU kernels take no fewer.
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=words.convert_tokens_to_ids(SPECIAL[0]),
        tie_word_embeddings=False,
    )
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)


if __name__ == "__main__":
    for number, folder in enumerate(sys.argv[1:], start=1):
        main(number, Path(folder))
