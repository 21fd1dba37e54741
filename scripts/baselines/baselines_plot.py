"""The plot of scripts/baselines/baselines.py: perplexity over bits per weight, every point with its name."""

# family: (colour, marker); colours apart for colour-blind eyes too (Okabe and Ito)
STYLES = {"ours": ("#D55E00", "o"), "RTN": ("#777777", "s"), "GPTQ": ("#0072B2", "^"),
          "HQQ": ("#009E73", "D"), "llama.cpp": ("#CC79A7", "v")}


def overlap(one, other):
    """The area that two boxes share, in square pixels."""
    return (max(0, min(one.x1, other.x1) - max(one.x0, other.x0)) *
            max(0, min(one.y1, other.y1) - max(one.y0, other.y0)))


def place_labels(axes, points, line, size):
    """A label beside each of the points (x, y, text, colour), where it covers the least of points, of the line
    through the points (x, y), of labels placed before it and of the plot's edge."""
    from matplotlib.transforms import Bbox
    figure = axes.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    centres = [axes.transData.transform(point[:2]) for point in points]
    radius = size * figure.dpi / 72 * 0.5
    corners = [axes.transData.transform(corner) for corner in line]
    centres += [start + step / 50 * (end - start) for start, end in zip(corners, corners[1:])
                for step in range(50)]
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in centres]
    frame = axes.get_window_extent(renderer)
    places = [(distance * x, distance * y, horizontal, vertical) for distance in (5, 9, 14, 20, 28)
              for x, y, horizontal, vertical in (
                  (1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"),
                  (0, -1, "center", "top"), (0.7, 0.7, "left", "bottom"), (0.7, -0.7, "left", "top"),
                  (-0.7, 0.7, "right", "bottom"), (-0.7, -0.7, "right", "top"))]
    for x, y, text, colour in points:
        label = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize=size, color=colour)
        best = None
        for place in places:
            label.xyann = place[:2]
            label.set_horizontalalignment(place[2])
            label.set_verticalalignment(place[3])
            box = label.get_window_extent(renderer)
            outside = box.width * box.height - overlap(box, frame)
            cost = sum(overlap(box, other) for other in taken) + 3 * outside + 2 * abs(complex(*place[:2]))
            if best is None or cost < best[0]:
                best = cost, place, box
        label.xyann = best[1][:2]
        label.set_horizontalalignment(best[1][2])
        label.set_verticalalignment(best[1][3])
        taken.append(best[2])


def draw(results, path):
    """results: dictionaries with title, family, bits_per_weight and perplexity; path: an SVG file."""
    import matplotlib
    matplotlib.use("agg")  # which measures labels; the file is SVG
    matplotlib.rcParams.update({"svg.hashsalt": "baselines"})  # the same bytes for the same figures
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, ScalarFormatter
    figure, axes = pyplot.subplots(figsize=(9, 6.5), layout="constrained")
    points, line = [], []
    for family, (colour, marker) in STYLES.items():
        rows = sorted((row for row in results if row["family"] == family),
                      key=lambda row: row["bits_per_weight"])
        if not rows:
            continue
        axes.plot([row["bits_per_weight"] for row in rows], [row["perplexity"] for row in rows], marker,
                  color=colour, markersize=6, label=family,
                  linestyle="-" if family == "ours" else "", zorder=3)
        points += [(row["bits_per_weight"], row["perplexity"],
                    row["title"].removeprefix(f"{family} "), colour) for row in rows]
        if family == "ours":
            line = [point[:2] for point in points]
    for row in results:
        if row["family"] == "FP16":
            axes.axhline(row["perplexity"], color="black", linewidth=0.8, linestyle=":",
                         label=f"FP16: {row['perplexity']:.2f}")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    highest = max(row["perplexity"] for row in results)
    axes.set_yticks([tick for tick in (20, 25, 30, 40, 50, 70, 100, 200, 500, 1000, 2000, 5000, 10000, 100000)
                     if tick < 1.3 * highest])
    axes.set_xlabel("bits per weight that the linear layers take, everything stored included")
    axes.set_ylabel("perplexity, WikiText-2 (log scale)")
    axes.grid(alpha=0.25)
    axes.margins(x=0.08, y=0.06)
    axes.legend(loc="upper right", frameon=False)
    place_labels(axes, points, line, 8)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
