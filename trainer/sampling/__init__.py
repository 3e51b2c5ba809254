"""Pictures drawn while training: prompts, the denoising loop, before and after side by side."""
