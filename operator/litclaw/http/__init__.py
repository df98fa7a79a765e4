"""HTTP as both clients speak it: lean sessions, told of by an observer and stopped by a fence."""
