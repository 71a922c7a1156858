# SPDX-License-Identifier: MIT
"""The five large libraries of the sandbox image in ordinary use: numbers, files of all formats, processes of their own."""
import io
import os
import sqlite3


def numpy_():
    import numpy as np
    matrix = np.random.default_rng(1).normal(size=(200, 200))
    assert np.allclose(np.linalg.inv(matrix) @ matrix, np.eye(200), atol=1e-6)
    assert np.allclose(np.fft.ifft(np.fft.fft(matrix)), matrix)
    np.savez_compressed("a.npz", matrix=matrix)
    assert np.array_equal(np.load("a.npz")["matrix"], matrix)
    matrix.tofile("raw")
    mapped = np.memmap("raw", dtype=float, mode="r+", shape=matrix.shape)
    mapped[0, 0] = 7
    mapped.flush()
    assert np.fromfile("raw")[0] == 7
    np.savetxt("a.txt", matrix)
    assert np.allclose(np.loadtxt("a.txt"), matrix)
    assert np.sort(np.arange(1 << 21)[::-1])[5] == 5  # memory of its own mapping


def pandas_():
    import pandas as pd
    table = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=1000), "k": ["x", "y"] * 500, "n": range(1000)})
    assert table.groupby("k").n.sum().tolist() == [249500, 250000]
    assert len(table.merge(table, on="day")) == 1000
    assert len(table.set_index("day").n.resample("30D").mean()) == 34
    for name in ("t.csv", "t.csv.gz", "t.csv.xz", "t.csv.bz2", "t.csv.zip"):
        table.to_csv(name, index=False)
        assert pd.read_csv(name).n.sum() == 499500
    table.to_pickle("t.pickle")
    assert pd.read_pickle("t.pickle").equals(table)
    table.to_json("t.json", orient="records", lines=True)
    assert len(pd.read_json("t.json", lines=True, chunksize=100).read()) == 1000
    with sqlite3.connect("t.db") as base:
        table.to_sql("t", base)
        assert pd.read_sql("select max(n) as m from t", base).m[0] == 999


def matplotlib_():
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(2, 2)
    axes[0, 0].plot([1, 3, 2], label=r"$\alpha$")
    axes[0, 0].legend()
    axes[0, 1].hist([1, 2, 2, 3])
    axes[1, 0].imshow([[1, 2], [3, 4]])
    axes[1, 1].text(0, 0, "text")
    for name in ("f.png", "f.svg", "f.pdf", "f.ps", "f.jpg"):
        figure.savefig(name)
        assert os.path.getsize(name) > 1000
    memory = io.BytesIO()
    figure.savefig(memory)
    assert memory.getvalue()[:4] == b"\x89PNG"
    plt.close(figure)


def scipy_():
    import numpy as np
    from scipy import fft, integrate, io as files, linalg, optimize, signal, sparse, spatial, stats
    assert abs(optimize.minimize(lambda v: (v[0] - 1) ** 2 + v[1] ** 2, [0, 1]).x[0] - 1) < 1e-4
    assert abs(integrate.quad(np.sin, 0, np.pi)[0] - 2) < 1e-9
    assert linalg.svdvals(np.eye(3)).tolist() == [1, 1, 1]
    assert np.allclose(sparse.linalg.spsolve(sparse.eye(50, format="csc") * 2, np.ones(50)), 0.5)
    assert fft.fft(np.ones((64, 64)), workers=2).shape == (64, 64)
    assert len(signal.find_peaks([0, 1, 0, 2, 0])[0]) == 2
    assert stats.ttest_ind([1, 2, 3], [4, 5, 6]).pvalue < 0.05
    assert spatial.cKDTree(np.eye(4)).query(np.eye(4), workers=2)[1].tolist() == [0, 1, 2, 3]
    files.savemat("m.mat", {"a": np.eye(2)})
    assert files.loadmat("m.mat")["a"].shape == (2, 2)
    files.wavfile.write("w.wav", 8000, np.zeros(80, "int16"))
    assert files.wavfile.read("w.wav", mmap=True)[0] == 8000


def sklearn_():
    import joblib
    from sklearn import cluster, datasets, ensemble, linear_model, model_selection, pipeline, preprocessing
    x, y = datasets.load_iris(return_X_y=True)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    assert model_selection.cross_val_score(model, x, y, cv=3).mean() > 0.9
    forest = ensemble.RandomForestClassifier(20, n_jobs=2, random_state=1).fit(x, y)  # threads
    assert forest.score(x, y) > 0.9
    search = model_selection.GridSearchCV(linear_model.LogisticRegression(max_iter=500), {"C": [0.1, 1]}, n_jobs=2, cv=3)  # processes
    assert search.fit(x, y).best_score_ > 0.9
    assert cluster.KMeans(3, n_init=2, random_state=1).fit(x).n_iter_ > 0  # OpenMP
    assert ensemble.HistGradientBoostingClassifier(max_iter=5).fit(x, y).score(x, y) > 0.9
    joblib.dump(forest, "forest.joblib", compress=3)
    assert joblib.load("forest.joblib").n_estimators == 20


for each in (numpy_, pandas_, matplotlib_, scipy_, sklearn_):
    each()
    print("ok", each.__name__.strip("_"))
