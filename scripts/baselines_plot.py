"""The plot of scripts/baselines.py: perplexity over bits per weight, every point with its name."""


def draw(results, path):
    """results: dictionaries with title, family, bits_per_weight and perplexity; path: an SVG file."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "baselines", "svg.fonttype": "none"})
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for row in results:
        axes.scatter(row["bits_per_weight"], row["perplexity"])
        axes.annotate(row["title"], (row["bits_per_weight"], row["perplexity"]))
    axes.set_yscale("log")
    figure.savefig(path, metadata={"Date": None})
