"""Runs folders that sq-quantize wrote in Python programs. `import squeezellm_serving` is all that transformers needs
before AutoModelForCausalLM.from_pretrained(folder); vLLM finds its plugin by itself once this is installed.
"""

import importlib.util

from squeezellm_serving.op import lut_linear

__all__ = ["lut_linear"]

if importlib.util.find_spec("transformers") is not None:
    from squeezellm_serving import huggingface

    huggingface.register()
