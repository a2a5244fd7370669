"""Seeing inside: drawings of the autograd graph, and what notebooks show of the library's objects."""

from tabgrad.viz.graph import Graph as Graph, graph as graph
