"""The published layouts that `ancestral import` reads."""

from ancestral.store.layouts import Layout
from ancestral.store.published.char_rnn import ML5_CHAR_RNN
from ancestral.store.published.gated_pixelcnn import UVA_GATED_PIXELCNN
from ancestral.store.published.image_gpt import HF_IMAGE_GPT, KODER_IMAGE_GPT
from ancestral.store.published.pixel_rnn import TAIMIR_PIXELRNN
from ancestral.store.published.pixelcnn_pp import PIXELCNN_PP
from ancestral.store.published.wavenet import HERRMANN_WAVENET, R9Y9_WAVENET, R9Y9_WAVENET_CODES
from ancestral.store.published.wavernn import LIBWAVERNN

LAYOUTS: tuple[Layout, ...] = (
    UVA_GATED_PIXELCNN,
    PIXELCNN_PP,
    HERRMANN_WAVENET,
    R9Y9_WAVENET,
    R9Y9_WAVENET_CODES,
    HF_IMAGE_GPT,
    KODER_IMAGE_GPT,
    TAIMIR_PIXELRNN,
    ML5_CHAR_RNN,
    LIBWAVERNN,
)
