"""One thumbnail for several entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from shotgun_executor.future import Future

__all__ = ["Thumbnails"]


class Thumbnails:
    """Uploads of one thumbnail to several entities."""

    def _submit_method(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        """Submit the call of the method *name*."""
        raise NotImplementedError  # the business of whoever has it

    def upload_thumbnails(
        self,
        entities: Iterable[Union[Mapping[str, Any], Future[Any]]],
        path: Union[str, os.PathLike[str]],
    ) -> list[Future[int]]:
        """Upload a thumbnail to each of some entities, at once.

        ::

            executor.upload_thumbnails([published, shot, task], "sh010.jpg")

        Each is an upload of its own, which opens the file itself, so they run in parallel, and
        none waits until the site has made the thumbnail. ``share_thumbnail`` sends the file once,
        and then has the others share it: two requests one after the other, and the second is
        repeated until the thumbnail is there.

        Args:
            entities: With type and id; or futures of such.
            path: The image.

        Returns:
            A future for each entity, in their order, of the id of the new Attachment.

        Raises:
            TypeError: An entity is none.
        """
        if isinstance(entities, (str, dict)):
            raise TypeError(
                f"upload_thumbnails: entities must be a list, not a {type(entities).__name__}"
            )
        entities = list(entities)
        for entity in entities:
            _check_entity(entity)
        return [
            self._submit_method("upload_thumbnail", (entity, entity, path), {})
            for entity in entities
        ]


def _check_entity(entity: Any) -> None:
    named = isinstance(entity, dict) and "type" in entity and "id" in entity
    if not named and not hasattr(entity, "add_done_callback"):
        raise TypeError(
            f"upload_thumbnails: entities must have type and id, or be futures, not {entity!r}"
        )
