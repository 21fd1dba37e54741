"""The entry point of vLLM's plugins: called once or more in each of its processes."""


def register():
    from squeezellm_serving import vllm_method  # noqa: F401  registers as it is imported, which happens once
