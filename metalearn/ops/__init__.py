"""Operations that learners are built of: losses, inner loop, classifier, optimisers."""
