"""The table of `core/submodules.py`: a path of PyTorch's, and where the names live that stand there.

A word that ends with a colon is a module; the names of it follow, `theirs=ours` where two names differ. A path
after `=` is that of an object, which then stands in the place of a module. One without names can be imported,
and each name that a program wants of it is missing: `ao.quantization`.
"""

PATHS = {
    "_C": (
        "tabgrad: Generator default_generator tabgrad.overrides: DisableTorchFunction "
        "DisableTorchFunctionSubclass _disabled_torch_function_impl tabgrad.core.errors: "
        "_LinAlgError=LinAlgError"
    ),
    "_C._distributed_c10d": "tabgrad.distributed: GradBucket",
    "_C._profiler": "tabgrad.profiler: ProfilerActivity",
    "_dynamo.eval_frame": "tabgrad.nn.optimized: OptimizedModule",
    "ao": "",
    "ao.nn": "",
    "ao.quantization": "",
    "_inductor": "tabgrad._dynamo: config",
    "_jit_internal": "tabgrad.jit: export ignore unused",
    "_library": "",
    "_library.custom_ops": "tabgrad.library: CustomOpDef",
    "_lowrank": "tabgrad: pca_lowrank svd_lowrank",
    "_tensor": "tabgrad: Tensor",
    "_tensor_str": "tabgrad: get_printoptions printoptions set_printoptions",
    "autograd.gradcheck": "tabgrad.autograd: gradcheck gradgradcheck GradcheckError",
    "autograd.profiler_util": (
        "tabgrad.profiler.averages: EventList=Averages tabgrad.profiler.events: FunctionEvent=Event"
    ),
    "backends.cuda": "=tabgrad.backends.cuda",
    "backends.cudnn": "=tabgrad.backends.cudnn",
    "backends.mkl": "=tabgrad.backends.mkl",
    "backends.mkldnn": "=tabgrad.backends.mkldnn",
    "backends.mps": "=tabgrad.backends.mps",
    "backends.openmp": "=tabgrad.backends.openmp",
    "cuda.amp.autocast_mode": "tabgrad.cuda.amp: autocast custom_bwd custom_fwd",
    "cuda.amp.grad_scaler": "tabgrad.cuda.amp: GradScaler",
    "cuda.comm": "",
    "cuda.memory": (
        "tabgrad.cuda: empty_cache max_memory_allocated memory_allocated memory_reserved memory_summary"
    ),
    "cuda.random": (
        "tabgrad.cuda: get_rng_state get_rng_state_all initial_seed manual_seed manual_seed_all seed seed_all "
        "set_rng_state set_rng_state_all"
    ),
    "distributed.distributed_c10d": (
        "tabgrad.distributed: Backend GroupMember P2POp ProcessGroup ReduceOp Work all_gather "
        "all_gather_into_tensor all_gather_object all_reduce all_to_all all_to_all_single barrier "
        "batch_isend_irecv broadcast broadcast_object_list destroy_process_group gather gather_object "
        "get_backend get_global_rank get_group_rank get_process_group_ranks get_rank get_world_size group "
        "init_process_group irecv is_available is_initialized isend monitored_barrier new_group recv "
        "reduce reduce_scatter reduce_scatter_tensor scatter scatter_object_list send "
        "tabgrad.distributed.reducing: DebugLevel"
    ),
    "distributed.elastic": "",
    "distributed.elastic.multiprocessing": "",
    "distributed.elastic.multiprocessing.errors": "tabgrad.distributed.errors: record",
    "distributed.fsdp.fully_sharded_data_parallel": (
        "tabgrad.distributed.fsdp: FullyShardedDataParallel"
    ),
    "distributed.optim": (
        "tabgrad.optim.zero: ZeroRedundancyOptimizer tabgrad.optim.local_sgd: PostLocalSGDOptimizer"
    ),
    "distributed.optim.post_localSGD_optimizer": "tabgrad.optim.local_sgd: PostLocalSGDOptimizer",
    "distributed._functional_collectives": (
        "tabgrad.distributed.differentiable: all_to_all_single_autograd wait_tensor"
    ),
    "distributed._composable": "",
    "distributed._composable.fsdp": "tabgrad.distributed.fsdp: FSDPModule fully_shard",
    "distributed.checkpoint._consolidate_hf_safetensors": (
        "tabgrad.distributed.checkpoint.absent: consolidate_safetensors_files"
    ),
    "distributed.checkpoint.api": "tabgrad.distributed.checkpoint.storage: CheckpointException",
    "distributed.checkpoint.filesystem": (
        "tabgrad.distributed.checkpoint.storage: FileSystemReader FileSystemWriter"
    ),
    "distributed.checkpoint.metadata": "tabgrad.distributed.checkpoint.storage: Metadata",
    "distributed.checkpoint.default_planner": "tabgrad.distributed.checkpoint.absent: DefaultLoadPlanner",
    "distributed.checkpoint.hf_storage": (
        "tabgrad.distributed.checkpoint.absent: HuggingFaceStorageReader HuggingFaceStorageWriter"
    ),
    "distributed.checkpoint.state_dict": (
        "tabgrad.distributed.checkpoint.absent: StateDictOptions get_model_state_dict "
        "get_optimizer_state_dict set_model_state_dict set_optimizer_state_dict"
    ),
    "distributed.device_mesh": "tabgrad.distributed.tensor: DeviceMesh init_device_mesh",
    "distributed.tensor._utils": "tabgrad.distributed.tensor: compute_local_shape_and_global_offset",
    "distributed.tensor.placement_types": (
        "tabgrad.distributed.tensor: Partial Placement Replicate Shard _StridedShard=Shard"
    ),
    "distributed.optim.zero_redundancy_optimizer": "tabgrad.optim.zero: ZeroRedundancyOptimizer",
    "distributions.bernoulli": "tabgrad.distributions: Bernoulli",
    "distributions.beta": "tabgrad.distributions: Beta",
    "distributions.binomial": "tabgrad.distributions: Binomial",
    "distributions.cauchy": "tabgrad.distributions: Cauchy",
    "distributions.chi2": "tabgrad.distributions: Chi2",
    "distributions.constraint_registry": "tabgrad.distributions: biject_to transform_to",
    "distributions.continuous_bernoulli": "tabgrad.distributions: ContinuousBernoulli",
    "distributions.dirichlet": "tabgrad.distributions: Dirichlet",
    "distributions.exp_family": "tabgrad.distributions: ExponentialFamily",
    "distributions.exponential": "tabgrad.distributions: Exponential",
    "distributions.fishersnedecor": "tabgrad.distributions: FisherSnedecor",
    "distributions.gamma": "tabgrad.distributions: Gamma",
    "distributions.generalized_pareto": "tabgrad.distributions: GeneralizedPareto",
    "distributions.geometric": "tabgrad.distributions: Geometric",
    "distributions.gumbel": "tabgrad.distributions: Gumbel",
    "distributions.half_cauchy": "tabgrad.distributions: HalfCauchy",
    "distributions.half_normal": "tabgrad.distributions: HalfNormal",
    "distributions.inverse_gamma": "tabgrad.distributions: InverseGamma",
    "distributions.kumaraswamy": "tabgrad.distributions: Kumaraswamy",
    "distributions.laplace": "tabgrad.distributions: Laplace",
    "distributions.lkj_cholesky": "tabgrad.distributions: LKJCholesky",
    "distributions.log_normal": "tabgrad.distributions: LogNormal",
    "distributions.logistic_normal": "tabgrad.distributions: LogisticNormal",
    "distributions.lowrank_multivariate_normal": "tabgrad.distributions: LowRankMultivariateNormal",
    "distributions.mixture_same_family": "tabgrad.distributions: MixtureSameFamily",
    "distributions.multinomial": "tabgrad.distributions: Multinomial",
    "distributions.multivariate_normal": "tabgrad.distributions: MultivariateNormal",
    "distributions.negative_binomial": "tabgrad.distributions: NegativeBinomial",
    "distributions.normal": "tabgrad.distributions: Normal",
    "distributions.one_hot_categorical": (
        "tabgrad.distributions: OneHotCategorical OneHotCategoricalStraightThrough"
    ),
    "distributions.pareto": "tabgrad.distributions: Pareto",
    "distributions.poisson": "tabgrad.distributions: Poisson",
    "distributions.relaxed_bernoulli": "tabgrad.distributions: RelaxedBernoulli",
    "distributions.relaxed_categorical": "tabgrad.distributions: RelaxedOneHotCategorical",
    "distributions.studentT": "tabgrad.distributions: StudentT",
    "distributions.transformed_distribution": "tabgrad.distributions: TransformedDistribution",
    "distributions.uniform": "tabgrad.distributions: Uniform",
    "distributions.von_mises": "tabgrad.distributions: VonMises",
    "distributions.weibull": "tabgrad.distributions: Weibull",
    "distributions.wishart": "tabgrad.distributions: Wishart",
    "export": "=tabgrad.exporting.export",
    "functional": (
        "tabgrad: atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors "
        "cartesian_prod cdist chain_matmul einsum istft lu meshgrid norm pca_lowrank split stft "
        "svd_lowrank tensordot unique unique_consecutive unravel_index"
    ),
    "fx.graph": "tabgrad.fx: Graph",
    "fx.graph_module": "tabgrad.fx: GraphModule",
    "fx.node": "tabgrad.fx: Node",
    "fx.proxy": "tabgrad.fx: Proxy",
    "jit._script": "tabgrad.jit: ScriptModule script",
    "masked": "",
    "monitor": "",
    "multiprocessing.spawn": (
        "tabgrad.multiprocessing: ProcessExitedException ProcessRaisedException SpawnContext spawn"
    ),
    "nested": "",
    "nn.attention.bias": "",
    "nn.intrinsic": "",
    "nn.modules.activation": (
        "tabgrad.nn: CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid "
        "LogSoftmax Mish MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d "
        "Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold"
    ),
    "nn.modules.adaptive": "tabgrad.nn: AdaptiveLogSoftmaxWithLoss",
    "nn.modules.batchnorm": (
        "tabgrad.nn: BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d "
        "SyncBatchNorm tabgrad.nn.norm: _BatchNorm _NormBase=_ByChannel"
    ),
    "nn.modules.channelshuffle": "tabgrad.nn: ChannelShuffle",
    "nn.modules.container": (
        "tabgrad.nn: ModuleDict ModuleList ParameterDict ParameterList Sequential tabgrad.nn.containers: "
        "Container"
    ),
    "nn.modules.conv": (
        "tabgrad.nn: Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d "
        "LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d "
        "tabgrad.nn.conv: _ConvNd=_Conv _ConvTransposeNd=_Transpose "
        "tabgrad.nn.modules.utils: _pair _reverse_repeat_tuple _single _triple"
    ),
    "nn.modules.distance": "tabgrad.nn: CosineSimilarity PairwiseDistance",
    "nn.modules.dropout": (
        "tabgrad.nn: AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout "
        "tabgrad.nn.dropout: _DropoutNd=_Dropout"
    ),
    "nn.modules.flatten": "tabgrad.nn: Flatten Unflatten",
    "nn.modules.fold": "tabgrad.nn: Fold Unfold",
    "nn.modules.instancenorm": (
        "tabgrad.nn: InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d "
        "LazyInstanceNorm3d tabgrad.nn.norm: _InstanceNorm"
    ),
    "nn.modules.lazy": "tabgrad.nn.lazy: LazyModuleMixin",
    "nn.modules.linear": (
        "tabgrad.nn: Bilinear Identity LazyLinear Linear tabgrad.nn.linear: NonDynamicallyQuantizableLinear"
    ),
    "nn.modules.linear_cross_entropy": "tabgrad.nn: LinearCrossEntropyLoss",
    "nn.modules.linear_cross_entropy_options": "tabgrad.nn: LinearCrossEntropyOptions",
    "nn.modules.loss": (
        "tabgrad.nn: BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss "
        "GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss "
        "MarginRankingLoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss "
        "NLLLoss2d PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss "
        "TripletMarginWithDistanceLoss tabgrad.nn.loss: _Loss _WeightedLoss=_Weighted"
    ),
    "nn.modules.normalization": "tabgrad.nn: CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "nn.modules.padding": (
        "tabgrad.nn: CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d "
        "ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d "
        "ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d tabgrad.nn.padding: _ConstantPadNd=_ConstantPad"
    ),
    "nn.modules.pixelshuffle": "tabgrad.nn: PixelShuffle PixelUnshuffle",
    "nn.modules.pooling": (
        "tabgrad.nn: AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d "
        "AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d "
        "FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d "
        "MaxUnpool2d MaxUnpool3d tabgrad.nn.pooling: _MaxPoolNd=_MaxPool _AvgPoolNd=_AvgPool "
        "_AdaptiveAvgPoolNd=_AdaptiveAvgPool _AdaptiveMaxPoolNd=_AdaptiveMaxPool _LPPoolNd=_LPPool "
        "_MaxUnpoolNd=_MaxUnpool"
    ),
    "nn.modules.rnn": "tabgrad.nn: GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "nn.modules.sparse": "tabgrad.nn: Embedding EmbeddingBag",
    "nn.modules.transformer": (
        "tabgrad.nn: Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder "
        "TransformerEncoderLayer tabgrad.nn.transformer: _get_activation_fn _get_clones"
    ),
    "nn.modules.upsampling": "tabgrad.nn: Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "nn.parallel.data_parallel": "tabgrad.nn.parallel: DataParallel data_parallel",
    "nn.parallel.parallel_apply": "tabgrad.nn.parallel: parallel_apply",
    "nn.parallel.replicate": "tabgrad.nn.parallel: replicate",
    "nn.parallel.scatter_gather": "tabgrad.nn.parallel: gather scatter",
    "nn.quantized": "",
    "nn.utils.stateless": "tabgrad.func: functional_call",
    "optim._adafactor": "tabgrad.optim: Adafactor",
    "optim._functional": "",
    "optim._muon": "tabgrad.optim: Muon",
    "optim.adadelta": "tabgrad.optim: Adadelta",
    "optim.adamax": "tabgrad.optim: Adamax",
    "optim.adamw": "tabgrad.optim: AdamW",
    "optim.asgd": "tabgrad.optim: ASGD",
    "optim.nadam": "tabgrad.optim: NAdam",
    "optim.radam": "tabgrad.optim: RAdam",
    "optim.rmsprop": "tabgrad.optim: RMSprop",
    "package": "",
    "profiler.profiler": "tabgrad.profiler: ProfilerAction profile schedule tensorboard_trace_handler",
    "quantization": "",
    "return_types": (
        "tabgrad.tensor.return_types: aminmax cummax cummin frexp histogram histogramdd kthvalue max "
        "median min mode nanmedian sort topk tabgrad.linalg.return_types: linalg_cholesky_ex linalg_eig "
        "linalg_eigh linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex linalg_lstsq linalg_lu "
        "linalg_lu_factor linalg_lu_factor_ex linalg_qr linalg_slogdet linalg_solve_ex linalg_svd geqrf "
        "lu_unpack qr slogdet svd triangular_solve"
    ),
    "storage": "tabgrad: TypedStorage UntypedStorage",
    "utils.benchmark.utils": "",
    "utils.benchmark.utils.common": "tabgrad.utils.benchmark: Measurement",
    "utils.benchmark.utils.timer": "tabgrad.utils.benchmark: Timer",
    "utils.cpp_extension": "",
    "utils.data._utils": "",
    "utils.data._utils.collate": "tabgrad.utils.data: default_collate default_convert",
    "utils.data._utils.worker": "tabgrad.utils.data: get_worker_info",
    "utils.data.dataloader": "tabgrad.utils.data: DataLoader default_collate default_convert get_worker_info",
    "utils.data.datapipes": "",
    "utils.data.graph": "",
    "utils.deterministic": "",
    "utils.dlpack": "tabgrad: from_dlpack to_dlpack",
    "utils.flop_counter": "",
    "utils.mobile_optimizer": "",
    "utils.model_zoo": "tabgrad.hub: load_url=load_state_dict_from_url",
}  # fmt: skip
"""Modules by their paths below the package."""
