"""Seeing inside: the autograd graph, the flow of gradients, and what notebooks show."""

from tabgrad.viz.flow import Flow as Flow, flow as flow
from tabgrad.viz.graph import Graph as Graph, graph as graph
