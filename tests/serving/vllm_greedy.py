"""Greedy tokens of a quantized folder by vLLM, one list a prompt, as JSON: a process of its own, since an engine keeps
its memory and its settings. usage: vllm_greedy.py FOLDER OUTPUT.json [--tensor-parallel N] [--compile]
"""

import argparse
import json
import os
from pathlib import Path

import support


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("output", type=Path)
    parser.add_argument("--tensor-parallel", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--quantization")
    options = parser.parse_args()
    # Unbound threads, as many as OMP_NUM_THREADS says: the machine may have other work.
    os.environ.update(HF_HUB_OFFLINE="1", VLLM_PLUGINS="squeezellm", VLLM_CPU_KVCACHE_SPACE="1",
                      VLLM_CPU_OMP_THREADS_BIND="nobind")

    from vllm import LLM, SamplingParams

    # Small limits: the engine's first step is a full batch.
    llm = LLM(model=options.folder, dtype="float32", enforce_eager=not options.compile, max_model_len=128,
              max_num_batched_tokens=128, max_num_seqs=4, tensor_parallel_size=options.tensor_parallel,
              quantization=options.quantization)
    sampling = SamplingParams(temperature=0, max_tokens=support.NEW_TOKENS)
    made = llm.generate(support.PROMPTS, sampling, use_tqdm=False)
    options.output.write_text(json.dumps([list(one.outputs[0].token_ids) for one in made]))


if __name__ == "__main__":  # vLLM starts its processes by importing this file
    main()
