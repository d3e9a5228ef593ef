"""A small dense network that tells malignant from benign tumours, and logistic regression.

scikit-learn's breast cancer data: 569 tumours, of which ten properties of the cell nuclei are
measured (radius, texture, ...); here are their means. The network has 10 inputs, 10 hidden units
and one output z; sigmoid(z) is the probability that the tumour is benign. Its loss is the binary
cross-entropy, computed from the logit z:

    -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z)) = log(1 + exp(-z)) + (1 - y) z.

Each fifth of the tumours is tested by models that have learned from the four others.

    python examples/dense.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from funcflow import data, losses, nn, optim, random, train

FOLDS = 5
EPOCHS = 60
BATCH = 65


def network(key):
    """10 inputs, 10 hidden units, one logit."""
    hidden, output = random.split(key)
    return nn.Sequential([nn.Linear(10, 10, key=hidden), nn.relu, nn.Linear(10, 1, key=output)])


def learn(training, test, key):
    """The network's probabilities for the test set, after training."""
    of_model, of_training = random.split(key)
    optimizer = optim.adam(optim.cosine_decay_schedule(0.02, EPOCHS * len(training[0]) // BATCH))
    fitted = train.fit(
        network(of_model),
        training,
        loss=losses.sigmoid_binary_cross_entropy,
        optimizer=optimizer,
        epochs=EPOCHS,
        batch_size=BATCH,
        validation=test,
        metrics={"accuracy": train.metrics.binary_accuracy(threshold=0)},
        key=of_training,
        progress=False,
    )
    first, last = fitted.history.rows[0], fitted.history.last
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        print(f"  {name:13} {first[name]:.3f} -> {last[name]:.3f}")
    return nn.sigmoid(train.predict(fitted.model, test[0], batch_size=BATCH))[:, 0]


def scores(probabilities, labels):
    """Cross-entropy, accuracy, and area under the ROC curve."""
    return (
        log_loss(labels, np.float64(probabilities)),
        float(train.metrics.binary_accuracy()(probabilities, labels)),
        float(train.metrics.roc_auc(probabilities, labels)),
    )


def main():
    """Test both models on all tumours, a fifth at a time."""
    tumours, labels = load_breast_cancer(return_X_y=True)
    tumours = tumours[:, :10].astype(np.float32)
    fold = np.asarray(random.permutation(random.key(1), len(labels))) % FOLDS
    ours, theirs = np.zeros((2, len(labels)))
    for k in range(FOLDS):
        test = fold == k
        scale = data.fit_featurewise(tumours[~test])
        x, y = scale.apply(tumours), labels[:, None].astype(np.float32)
        print(f"fold {k + 1}: {np.sum(~test)} tumours for training, {np.sum(test)} for testing")
        ours[test] = learn((x[~test], y[~test]), (x[test], y[test]), random.key(k))
        regression = LogisticRegression().fit(x[~test], labels[~test])
        theirs[test] = regression.predict_proba(x[test])[:, 1]

    print(f"\n{'all tumours':20}{'cross-entropy':>15}{'accuracy':>10}{'AUC':>8}")
    found = {"dense network": ours, "LogisticRegression": theirs}
    for name, probabilities in found.items():
        loss, accuracy, area = scores(probabilities, labels)
        print(f"{name:20}{loss:15.4f}{accuracy:10.2%}{area:8.4f}")

    (loss, accuracy, area), linear = scores(ours, labels), scores(theirs, labels)
    assert loss < linear[0], "the network's probabilities are worse than a linear model's"
    assert accuracy > 0.94, "the network's accuracy is not above 94 %"
    assert area > 0.98, "the area under the network's ROC curve is not above 0.98"


if __name__ == "__main__":
    main()
