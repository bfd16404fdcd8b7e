"""Everything NNI calls: model space, strategy, tuners and trials. The only room that imports nni."""
