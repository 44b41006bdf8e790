"""The model hub: answers Hugging Face clients from a store; reads only."""
