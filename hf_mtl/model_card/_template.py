"""The card's text, a Jinja template that huggingface_hub renders."""

from __future__ import annotations

__all__ = ["SELF_CONTAINED", "TEMPLATE"]

#: Of models whose code lies beside them.
SELF_CONTAINED = """\
Where hf_mtl is not installed, the code beside the weights runs the model (read it first):

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("{model_id}", trust_remote_code=True)
```
"""

#: What is between ``begin`` and ``end`` is written again at every save.
TEMPLATE = """\
---
{{ card_data }}
---

# {{ name }}

<!-- hf_mtl:begin answers -->
One encoder pass answers {{ tasks|length }} {{ "questions" if tasks|length > 1 else "question" }} about {{ subject }}.

| task | type | answer |
|---|---|---|
{% for task in tasks -%}
| {{ task.name }} | {{ task.type }} | {{ task.answer }} |
{% endfor %}
{%- if examples %}
{% for example in examples %}
> {{ example.text }}

```json
{{ example.answer }}
```
{% endfor %}
{%- endif %}
{%- for picture in pictures %}
![What the model answers to an example picture]({{ picture.file }})

```json
{{ picture.answer }}
```
{% endfor %}
<!-- hf_mtl:end answers -->

## Use

<!-- hf_mtl:begin use -->
```
pip install {{ "'hf-mtl[vision]'" if reads_pictures else "hf-mtl" }}
```

All answers at once:

```python
import hf_mtl
from transformers import pipeline

pipe = pipeline("multi-task", model="{{ model_id }}")
print(pipe({{ row }}))
```

The model itself, for tensors:

```python
{% if reads_texts -%}
from transformers import AutoTokenizer
{%- else -%}
from PIL import Image
from transformers import AutoImageProcessor
{%- endif %}

from hf_mtl import MultiTaskModel

model = MultiTaskModel.from_pretrained("{{ model_id }}")
{% if reads_texts -%}
tokenizer = AutoTokenizer.from_pretrained("{{ model_id }}")
output = model(**tokenizer([{{ sample }}], return_tensors="pt"))
{%- else -%}
processor = AutoImageProcessor.from_pretrained("{{ model_id }}")
output = model(**processor(Image.open("{{ picture }}"), return_tensors="pt"))
{%- endif %}
print({name: logits.shape for name, logits in output.logits.items()})
```

{% if stock %}One task as a stock Transformers model, which needs no hf_mtl any more:

```python
stock = model.to_transformers({{ stock.python }})
stock.save_pretrained("{{ stock.folder }}")
```
{% endif %}{% if self_contained %}
{{ self_contained }}
{%- endif %}
<!-- hf_mtl:end use -->

## Results

<!-- hf_mtl:begin results -->
{% if results -%}
| task | dataset | split | rows | metric | value | 95 % interval |
|---|---|---|--:|---|--:|---|
{% for result in results -%}
| {{ result.task }} | {{ result.dataset }} | {{ result.split }} | {{ result.rows }} | {{ result.metric }} \
| {{ result.value }} | {{ result.interval }} |
{% endfor %}
Intervals: percentiles of 1,000 resamples of the rows, drawn with replacement and a fixed seed. They show how far the \
value could lie off for want of rows; not what another training seed would give.
{%- else -%}
This model was not evaluated when this card was written.
{%- endif %}
<!-- hf_mtl:end results -->

## Training

<!-- hf_mtl:begin training -->
{% if datasets -%}
| dataset | rows | share of training | tasks |
|---|--:|--:|---|
{% for dataset in datasets -%}
| {{ dataset.name }} | {{ dataset.rows }} | {{ dataset.share }} | {{ dataset.tasks }} |
{% endfor %}
{% endif -%}
- Encoder: {{ encoder }}
{% if sampler -%}
- Sampling: {{ sampler }}
{% endif -%}
{% if balancer -%}
- Balancing of the tasks: {{ balancer }}
{% endif -%}
{% if augmentation -%}
- Augmentation of training rows: {{ augmentation }}
{% endif -%}
{% if average -%}
- Weights averaged over steps: {{ average }}
{% endif -%}
{% if methods -%}
- Training methods: {{ methods }}
{% endif -%}
{% if steps -%}
- Steps: {{ steps }}
{% endif -%}
{% for key, value in arguments.items() -%}
- `{{ key }}`: {{ value }}
{% endfor -%}
- Versions: {{ versions }}
<!-- hf_mtl:end training -->

## Size

<!-- hf_mtl:begin size -->
| | parameters |
|---|--:|
| encoder, shared by all tasks | {{ encoder_parameters }} |
{% for task, count in head_parameters.items() -%}
| head {{ task }} | {{ count }} |
{% endfor -%}
| **this model** | **{{ all_parameters }}** |
| {{ tasks|length }} models, one a task | {{ separate_parameters }} |

{{ cost }}
<!-- hf_mtl:end size -->

## Limits

<!-- hf_mtl:begin limits -->
{% if reads_texts -%}
- Of a text, {{ max_length }} are read; the rest is cut off.
{% endif -%}
{% if reads_pictures -%}
- A picture is resized to what its encoder takes, and perhaps cropped: what is small, or at an edge, can be lost.
{% endif -%}
{% if always_picks -%}
- A task always picks among the labels above: {{ subject }} that fits none gets one all the same.
{% endif -%}
- {{ calibration }}
- What the encoder and the datasets are biased by, this model is, too.
{% if reads_texts and not language -%}
- The languages that it understands are those of its training data; they were not recorded.
{% endif -%}
<!-- hf_mtl:end limits -->
"""
