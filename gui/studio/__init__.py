"""What the Dataset tab does with a folder of images. No Gradio in here."""
