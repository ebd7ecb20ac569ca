"""Answer searches over HTTP, from a file of `sklhash.save`.

SKLHASH_MODEL=digits.sklhash uvicorn examples.serve:app
"""

import os
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import sklhash


@asynccontextmanager
async def lifespan(app):
    search = sklhash.load(os.environ["SKLHASH_MODEL"], mmap_mode="r")
    search.kneighbors(np.ones((1, search.n_features_in_)), 1)  # loads what it runs
    app.state.search = search
    yield


app = FastAPI(lifespan=lifespan)


class Query(BaseModel):
    vectors: list[list[float]] = Field(min_length=1, max_length=1024)
    k: int = Field(default=10, ge=1, le=1000)


class Found(BaseModel):
    ids: list[list[int]]
    distances: list[list[float]]


@app.post("/search")
def search(query: Query) -> Found:
    try:
        vectors = np.array(query.vectors)
        distances, ids = app.state.search.kneighbors(vectors, query.k)
    except ValueError as refused:
        raise HTTPException(422, str(refused)) from refused
    return Found(ids=ids.tolist(), distances=distances.tolist())


@app.get("/health")
def health() -> dict[str, int]:
    return {
        "items": app.state.search.n_live_,
        "features": app.state.search.n_features_in_,
    }


# FastAPI's own answer repeats what was sent, and fails if there is a NaN in it.
@app.exception_handler(RequestValidationError)
def refuse(request, error):
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)
